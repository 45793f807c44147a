"""Compare each package's share of lines that the tests ran with what was reached before; exit with 1 where it is less.

python -m tests.coverage_gate coverage.json
"""

import json
import sys
from collections import Counter
from pathlib import Path, PurePosixPath

LEAST = 90
FLOORS = {
    ".": 96,
    "bench": 90,
    "cli": 94,
    "convolutionalization": 97,
    "data": 97,
    "demo": 96,
    "evaluation": 98,
    "exporting": 95,
    "geometry": 97,
    "inference": 96,
    "inspection": 94,
    "model": 97,
    "publish": 94,
    "results": 99,
    "training": 97,
    "weights": 97,
}
"""The percentage of lines that must be run, by package (``LEAST`` where it is not here); single files are ".".

What a whole run reached (97.8% of all lines), less up to two, as branches of other machines come and go.
"""


def shares(report: dict) -> dict[str, float]:
    """Return the percentage of lines that were run in each package, from coverage's JSON report."""
    lines: Counter[str] = Counter()
    covered: Counter[str] = Counter()
    for name, file in report["files"].items():
        parts = PurePosixPath(name.replace("\\", "/")).parts
        inside = parts[parts.index("fullyconv") + 1 :]
        package = inside[0] if len(inside) > 1 else "."
        lines[package] += file["summary"]["num_statements"]
        covered[package] += file["summary"]["covered_lines"]
    return {package: 100 * covered[package] / lines[package] for package in sorted(lines) if lines[package]}


def main() -> int:
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    found = shares(report)
    print(f"{report['totals']['percent_covered']:.1f}% of all lines were run")
    low = {package: share for package, share in found.items() if share < FLOORS.get(package, LEAST)}
    for package, share in found.items():
        print(f"{package:22} {share:5.1f}%  at least {FLOORS.get(package, LEAST)}%{'  TOO LOW' * (package in low)}")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
