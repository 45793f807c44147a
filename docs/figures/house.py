"""Draw the house from its imports: each package above those that it imports, with its lines of code.

python docs/figures/house.py    # writes docs/images/house.svg

Arrows are drawn to the floor below alone; a part may import any part that stands lower.
"""

import ast
from collections import defaultdict
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

SOURCE = Path(__file__).parents[2] / "src" / "fullyconv"
IMAGE = Path(__file__).parents[1] / "images" / "house.svg"
GROUND = "what every part may use"
WIDTH, HEIGHT, STEP = 2.3, 0.62, 1.25
INK, EDGE, FILL = "#20242c", "#7d8794", "#eef3f8"


def part(module: str) -> str:
    """Return the package that a module of fullyconv is in, or ``api``; the other single files are the ground."""
    first = module.split(".")[1] if "." in module else ""
    return first if first == "api" or ((SOURCE / first).is_dir() and first) else GROUND


def imports() -> tuple[dict[str, set[str]], dict[str, int]]:
    """Return which parts each part imports, those inside functions too, and each part's lines."""
    found: dict[str, set[str]] = defaultdict(set)
    lines: dict[str, int] = defaultdict(int)
    for path in SOURCE.rglob("*.py"):
        if path.parent == SOURCE and path.stem in ("__init__", "__main__"):
            continue
        text, own = path.read_text(encoding="utf-8"), part(f"fullyconv.{path.relative_to(SOURCE).parts[0]}")
        lines[own] += len(text.splitlines())
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "fullyconv":
                names = [alias.name for alias in node.names] if node.module == "fullyconv" else [""]
                found[own] |= {part(f"{node.module}.{name}" if name else node.module) for name in names} - {own}
    return found, lines


def levels(found: dict[str, set[str]], parts: list[str]) -> dict[str, int]:
    """Return how many floors each part stands above the ground: one more than the highest that it imports."""
    known: dict[str, int] = {}

    def level(name: str) -> int:
        if name not in known:
            known[name] = max((level(other) + 1 for other in found[name]), default=0)
        return known[name]

    return {name: level(name) for name in parts}


def draw() -> Figure:
    """Draw the parts floor by floor, the ground at the bottom."""
    found, lines = imports()
    floors: dict[int, list[str]] = defaultdict(list)
    for name, level in levels(found, sorted(lines)).items():
        floors[level].append(name)
    widest = max(map(len, floors.values()))
    places = {
        name: ((index - (len(names) - 1) / 2) * (WIDTH + 0.5), level * STEP)
        for level, names in floors.items()
        for index, name in enumerate(names)
    }
    figure = Figure(figsize=(1.1 * max(widest, 3) * (WIDTH + 0.5) * 0.8, 0.85 * len(floors) * STEP))
    axes = figure.add_axes((0, 0, 1, 1))
    for name, (x, y) in places.items():
        for other in sorted(found[name]):
            u, v = places[other]
            if y - v > 1.5 * STEP:
                continue
            ends = {"xy": (u, v + HEIGHT / 2), "xytext": (x, y - HEIGHT / 2)}
            arrow = {"arrowstyle": "-|>", "color": EDGE, "linewidth": 0.9}
            axes.annotate("", **ends, arrowprops=arrow)
    for name, (x, y) in places.items():
        width = WIDTH if name != GROUND else 2.1 * WIDTH
        box = FancyBboxPatch((x - width / 2, y - HEIGHT / 2), width, HEIGHT, boxstyle="round,pad=0,rounding_size=0.08")
        box.set(facecolor=FILL, edgecolor=EDGE, linewidth=1, zorder=3)
        axes.add_patch(box)
        axes.text(x, y + 0.1, name, ha="center", va="center", fontsize=10, color=INK, zorder=4)
        axes.text(x, y - 0.15, f"{lines[name]:,} lines", ha="center", va="center", fontsize=7, color=EDGE, zorder=4)
    reach = max(abs(x) for x, _ in places.values()) + WIDTH
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-0.7, (len(floors) - 1) * STEP + 0.7)
    axes.set_axis_off()
    return figure


if __name__ == "__main__":
    matplotlib.rcParams["svg.hashsalt"] = "house"
    draw().savefig(IMAGE, metadata={"Date": None}, facecolor="white")
