"""Damaged and hostile files of every kind that is opened: each is opened, or refused in words.

    python benchmarks/fuzz.py [--count 10000] [--seed 0] [--out benchmarks/fuzz.md] [--only KIND… [--case N]]

Small valid files of each kind are cut, flipped, spliced, given absurd lengths and values, or made to run a command.
Each is opened by the function that a command opens it with, and used (a network labels a small image). It must do its
work or raise a FullyConvError, within a time limit, in memory that follows what the file declares; nothing in it may
be executed, and nothing be written outside the case's folder. The cases run in a forked process that is ended from
outside where one hangs, and begun anew after each failure. Ends with exit code 1 where there is one.
"""

import argparse
import contextlib
import ctypes
import gc
import multiprocessing
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from fuzz_annotation_seeds import OUTSIDE, make_annotations
from fuzz_annotations import ANNOTATIONS
from fuzz_kinds import KINDS
from fuzz_seeds import Kind, Seeds, make_seeds, thin
from fuzz_watch import Watch

from fullyconv.errors import FullyConvError

SLOWEST = 20.0
"""Seconds of processor time that a case may take, and one more for each million pixels that an image declares."""
BY_THE_CLOCK = 20
"""So many times as long may it take by the clock, since others may use the machine."""
BASE = 256 << 20
"""Bytes that a case may take besides twice what the file declares: of runtimes and libraries that are first used."""
FORK = multiprocessing.get_context("fork")


@dataclass
class Tally:
    """What became of a kind's cases."""

    cases: int = 0
    opened: int = 0
    refused: int = 0
    slowest: float = 0.0
    largest: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)


def written(kind: Kind, case: int, seed: int, seeds: Seeds, folder: Path) -> Path:
    """The case's file, and beside it what it needs, in the empty folder ``folder``. Cases below 0: the valid files."""
    random = np.random.default_rng([seed, zlib.crc32(kind.name.encode()), max(case, 0)])
    names = valid_files(kind, seeds)
    name = names[case if case < 0 else int(random.integers(len(names)))]
    for beside in kind.beside:
        place = folder / beside
        place.parent.mkdir(parents=True, exist_ok=True)
        source = seeds.folder / beside
        (shutil.copytree if source.is_dir() else shutil.copy)(source, place)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = seeds.read(name)
    path.write_bytes(content if case < 0 else kind.damage(name, content, seeds, random))
    return path


def valid_files(kind: Kind, seeds: Seeds) -> list[str]:
    found = [path for pattern in kind.seeds for path in sorted(seeds.folder.glob(pattern))]
    return [str(path.relative_to(seeds.folder)) for path in found]


def declared(path: Path) -> tuple[int, int]:
    """The bytes and the pixels that a file says it holds: its own size, or what an image is decoded to."""
    size = path.stat().st_size
    if path.suffix not in (".png", ".jpg", ".bmp", ".gif", ".webp", ".tif"):
        return size, 0
    pixels = 0
    with contextlib.suppress(Exception), Image.open(path) as image:
        pixels = image.width * image.height
    return size + 16 * pixels, pixels  # as float32, with a fourth channel


def peak(reset: bool = False) -> int:
    """The process's largest resident size since the last reset, in bytes (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024


def work(kind: Kind, cases: range, seed: int, seeds: Seeds, sandbox: Path, pipe: Connection, shown: bool) -> None:
    """Run the cases; of each, first its number and the seconds allowed are sent, then what became of it."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    gc.collect()
    gc.freeze()  # what was imported is not looked at again for each case
    if not shown:  # what libraries print
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    watch = Watch(seeds.canary.parent / OUTSIDE, sandbox / "case")
    for case in cases:
        folder = sandbox / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        path = written(kind, case, seed, seeds, folder)
        size, pixels = declared(path)
        pipe.send((case, SLOWEST + pixels / 1e6))
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        before = peak(reset=True)
        start = time.process_time()
        problem = None
        watch.found.clear()
        try:
            kind.open(path)
            outcome = "opened"
        except FullyConvError as error:
            outcome = "refused"
            if case < 0:
                problem = f"a valid file is refused: {path.name}: {str(error)[:200]}"
            elif not str(error).strip():
                problem = "an error without a message"
        except BaseException as error:
            outcome = "failed"
            problem = f"{type(error).__name__}: {str(error)[:300]}"
            if shown:
                traceback.print_exc()
        seconds, more = time.process_time() - start, peak() - before
        if more > 2 * size + BASE:
            problem = problem or f"{more >> 20} MiB more for a file that declares {size >> 10} KiB"
        strays = sorted(entry.name for entry in sandbox.iterdir() if entry.name != "case")
        if seeds.canary.exists() or strays or Path("/tmp/escaped").exists():
            problem = f"what it holds was executed, or written elsewhere: {strays}"
        if strange := [act for act in watch.found if act.startswith(kind.watched)]:
            problem = f"leads elsewhere: {sorted(strange)[:3]}"
        pipe.send((outcome, problem, seconds, more))
        if problem:
            return


def fuzz(kind: Kind, cases: range, seed: int, seeds: Seeds, sandbox: Path, shown: bool = False) -> Tally:
    """All cases of a kind, in as many processes as there are failures, and one."""
    tally = Tally(cases=len(range(max(cases.start, 0), cases.stop)))
    at = cases.start
    while at < cases.stop:
        ours, theirs = FORK.Pipe()
        process = FORK.Process(target=work, args=(kind, range(at, cases.stop), seed, seeds, sandbox, theirs, shown))
        process.start()
        theirs.close()
        at = _watch(process, ours, at, cases.stop, tally)
        process.join()
        seeds.canary.unlink(missing_ok=True)
        for stray in sandbox.iterdir():
            shutil.rmtree(stray, ignore_errors=True) if stray.is_dir() else stray.unlink()
        if len(tally.failures) >= 40:  # enough to find their causes by
            tally.cases = max(at, 0)
            break
    return tally


def _watch(process: multiprocessing.Process, pipe: Connection, at: int, stop: int, tally: Tally) -> int:
    """Follow a process until it ends; the case to go on from."""
    while at < stop:
        try:
            at, seconds = pipe.recv()
            if not _ends_within(seconds, process, pipe):
                os.kill(process.pid, signal.SIGKILL)
                tally.failures.append((at, f"hangs: ended after {seconds:.0f} s"))
                return at + 1
            outcome, problem, seconds, more = pipe.recv()
        except EOFError:
            process.join()
            tally.failures.append((at, f"the process ended, exit code {process.exitcode}"))
            return at + 1
        at += 1
        tally.slowest, tally.largest = max(tally.slowest, seconds), max(tally.largest, more)
        if problem:
            tally.failures.append((at - 1, problem))
            return at
        tally.opened += at > 0 and outcome == "opened"
        tally.refused += outcome == "refused"
    return at


def _ends_within(seconds: float, process: multiprocessing.Process, pipe: Connection) -> bool:
    """Whether the process says what became of a case, or ends, before it has computed for so many seconds."""
    began, clock = _processor_time(process), time.monotonic()
    while not pipe.poll(1):
        if _processor_time(process) - began > seconds or time.monotonic() - clock > BY_THE_CLOCK * seconds:
            return False
    return True


def _processor_time(process: multiprocessing.Process) -> float:
    return sum(psutil.Process(process.pid).cpu_times()[:2])


def shares(count: int, kinds: list[Kind]) -> list[int]:
    return [count // len(kinds) + (i < count % len(kinds)) for i in range(len(kinds))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="cases in all, shared evenly by the kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a Markdown file for the table")
    parser.add_argument("--only", nargs="+", choices=[kind.name for kind in KINDS], help="these kinds alone")
    parser.add_argument("--case", type=int, help="this case of the kind alone, with what it prints")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    thin()
    kinds = [kind for kind in KINDS if arguments.only is None or kind.name in arguments.only]
    began = time.monotonic()
    lines = [
        "| kind | cases | opened | refused | failures | slowest, s | most memory, MiB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    print("\n".join(lines))
    failures: list[str] = []
    total = Tally()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        seeds = Seeds(Path(name) / "seeds", Path(name) / "canary")
        sandbox = Path(name) / "sandbox"
        seeds.folder.mkdir()
        sandbox.mkdir()
        if all(kind in ANNOTATIONS for kind in kinds):
            make, place = make_annotations, seeds.folder / "annotations"
        else:
            make, place = make_seeds, seeds.folder
        maker = FORK.Process(target=make, args=(place,))
        maker.start()
        maker.join()
        if maker.exitcode:
            return 1
        for kind, count in zip(kinds, shares(arguments.count, kinds), strict=True):
            one = arguments.case
            cases = range(-len(valid_files(kind, seeds)), count) if one is None else range(one, one + 1)
            tally = fuzz(kind, cases, arguments.seed, seeds, sandbox, shown=one is not None)
            total.cases, total.opened = total.cases + tally.cases, total.opened + tally.opened
            total.refused, total.failures = total.refused + tally.refused, total.failures + tally.failures
            total.slowest, total.largest = max(total.slowest, tally.slowest), max(total.largest, tally.largest)
            lines.append(_row(kind.name, tally))
            print(lines[-1], flush=True)
            for reason, number in Counter(reason for _, reason in tally.failures).items():
                case = next(case for case, found in tally.failures if found == reason)
                again = f'--only "{kind.name}" --case {case} --seed {arguments.seed}'
                failures.append(f"- {number} × {kind.name}: {reason.strip()} (`{again}`)")
                print(failures[-1], flush=True)
    lines.append(_row("all", total))
    print(lines[-1])
    if arguments.out:
        minutes = (time.monotonic() - began) / 60
        machine = f"torch {torch.__version__}, one core of a CPU ({platform.machine()}), {minutes:.1f} minutes"
        heading = f"`python benchmarks/fuzz.py --count {arguments.count} --seed {arguments.seed}`; {machine}.\n"
        heading += EXPLANATION
        arguments.out.write_text("\n".join([heading, "", *lines, *([""] if failures else []), *failures]) + "\n")
    return 1 if total.failures else 0


EXPLANATION = f"""Small valid files of each kind, damaged or made to do harm, each opened by the function that a command
opens it with, and used. Opened: it did its work. Refused: a FullyConvError. Failures: any other error,
more than {SLOWEST:.0f} s of processor time (and a second for each million pixels of an image), or
{BY_THE_CLOCK} times as long by the clock, more memory than {BASE >> 20} MiB and twice what the file declares,
the end of the process, a command executed or a file written elsewhere.
The valid files themselves are opened first, and must be."""


def _row(name: str, tally: Tally) -> str:
    numbers = f"{tally.cases:,} | {tally.opened:,} | {tally.refused:,} | {len(tally.failures):,}"
    return f"| {name} | {numbers} | {tally.slowest:.1f} | {tally.largest / 2**20:.0f} |"


if __name__ == "__main__":
    sys.exit(main())
