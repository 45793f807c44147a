"""The order of the house: imports point downwards, those inside functions too, and never go in a circle."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import fullyconv

ROOT = Path(fullyconv.__file__).parent
ORDER = (
    *(
        "errors",
        "extras",
        "files",
        "validation",
        "yaml_data",
        "written",
        "resources",
        "channels",
        "objective",
        "hardware",
        "sharing",
        "live",
    ),
    *("classes", "palettes", "fonts", "geometry"),
    *("model", "convolutionalization", "data", "weights", "results", "evaluation", "training", "publish"),
    *("inference", "demo", "inspection", "exporting", "bench", "api", "cli", "__main__"),
)
"""From the ground up."""
FILES = {
    ".".join(("fullyconv", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
    if path != ROOT / "__init__.py"
}


def imported(name: str) -> Iterator[str]:
    """The files of the package that a file imports."""
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                found = f"{node.module}.{alias.name}"
                found = found if found in FILES else node.module
                if found in FILES:
                    yield found


def test_no_file_imports_one_above_it() -> None:
    def level(name: str) -> int:
        return ORDER.index(name.split(".")[1])

    upward = [(name, other) for name in FILES for other in imported(name) if level(other) > level(name)]
    assert upward == []


def test_no_imports_go_in_a_circle() -> None:
    graph = {name: {other for other in imported(name) if other != name} for name in FILES}
    assert len([*TopologicalSorter(graph).static_order()]) == len(FILES)


def test_a_file_can_be_read_in_one_sitting() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in FILES.items()}
    assert {name: length for name, length in lengths.items() if length > 350} == {}
