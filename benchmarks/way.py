"""The files that one image goes through from the command to its labels, in the order of their first call.

python benchmarks/way.py

A network of fcn8s-smallvgg labels one PNG image: ``fullyconv predict RUN IMAGE --out MASKS``, in this process. A file
is on the way where one of its functions runs, and not only while files are imported. Beside it stand how many lines it
has and that function. Files that are imported and stay unused come last.
"""

import contextlib
import inspect
import subprocess
import sys
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

PACKAGE = Path(find_spec("fullyconv").origin).parent
MAKE = """
from pathlib import Path
from PIL import Image
from fullyconv.model import fcn
from fullyconv.weights import run_folder
run_folder.save(fcn.build("fcn8s-smallvgg", ["sky", "sea", "land"]), Path("run"))
Image.effect_noise((160, 120), 60).convert("RGB").save("image.png")
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", MAKE], cwd=folder, check=True)
        sys.argv = ["fullyconv", "predict", f"{folder}/run", f"{folder}/image.png", "--out", f"{folder}/masks"]
        way = first_calls()
        assert Path(folder, "masks", "image.png").is_file()
    files = [Path(module.__file__) for name, module in sys.modules.items() if name.split(".")[0] == "fullyconv"]
    lines = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    for number, (file, function) in enumerate(way.items(), 1):
        print(f"{number:2}  {lines[file]:3} lines  {file.relative_to(PACKAGE)}: {function}")
    print(f"{len(way)} files of {sum(lines[file] for file in way)} lines run, {len(files)} are imported; the others:")
    print(*(f"{file.relative_to(PACKAGE)} ({lines[file]})" for file in sorted(set(files) - set(way))), sep=", ")


def first_calls() -> dict[Path, str]:
    """Run the command in ``sys.argv``; the package's files in the order in which they are called, and what of them."""
    found: dict[str, str] = {}

    def called(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or code.co_filename in found or not in_package(frame):
            return
        if code.co_flags & inspect.CO_OPTIMIZED and not importing(frame):  # bodies of modules and classes are not
            found[code.co_filename] = code.co_qualname

    from fullyconv.cli import main as command

    threading.setprofile(called)
    sys.setprofile(called)
    try:
        with contextlib.suppress(SystemExit):
            command()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return {Path(file): function for file, function in found.items()}


def in_package(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(str(PACKAGE))


def importing(frame: FrameType | None) -> bool:
    """Whether one of the package's files is being imported."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and in_package(frame):
            return True
        frame = frame.f_back
    return False


if __name__ == "__main__":
    main()
