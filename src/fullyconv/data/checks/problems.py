"""A problem of a data set, and the report of all problems."""

from dataclasses import dataclass, replace
from pathlib import Path

from fullyconv.data.catalog import Data
from fullyconv.data.checks.kinds import GUESSED, OF_SPLITS, Kind, Severity
from fullyconv.data.frequencies import ClassPixels, frequency_lines
from fullyconv.data.pairs import Pair
from fullyconv.errors import DataError, visible

LISTED = 10
"""Maximum number of problems of one kind that are listed; the rest is counted."""


@dataclass(frozen=True)
class Problem:
    """One problem: the files that have it, what was found in them, and what was expected."""

    kind: Kind
    files: tuple[Path, ...]
    found: str
    expected: str
    remedy: str = ""
    """What to do about this problem; if empty, the remedy of its kind applies."""


@dataclass(frozen=True)
class Report:
    """The result of ``check``: every problem, and the number of pixels of each class in each split."""

    data: Data
    problems: list[Problem]
    frequencies: dict[str, ClassPixels]
    allow: frozenset[Kind] = frozenset()
    """Kinds that are always warnings."""
    strict: bool = False
    """Whether warnings count as errors, unless they are allowed."""
    remarks: tuple[str, ...] = ()
    """Remarks on the data that are not problems, one line each."""

    def severity(self, kind: Kind) -> Severity:
        """Return whether problems of this kind are errors or warnings in this report."""
        if kind in self.allow or (kind in OF_SPLITS and self.data.divided):
            return "warning"
        if kind in GUESSED and not self.data.inferred:
            return "error" if self.strict else "warning"
        return "error" if self.strict else kind.severity

    @property
    def errors(self) -> list[Problem]:
        """The problems that stop training and evaluation."""
        return [problem for problem in self.problems if self.severity(problem.kind) == "error"]

    @property
    def warnings(self) -> list[Problem]:
        """The problems that do not stop training and evaluation."""
        return [problem for problem in self.problems if self.severity(problem.kind) == "warning"]

    def raise_for_errors(self) -> None:
        """Raise DataError that lists all problems if at least one is an error."""
        if self.errors:
            raise DataError(*self.problem_lines())

    def usable_data(self) -> Data:
        """Return the data without the unusable images whose problems were allowed.

        Splits that become empty, or in which no pixel has a class, are left out too. Raises DataError if that is the
        train split or all splits.
        """
        faulty = {file for problem in self.warnings if problem.kind.unusable for file in problem.files}

        def usable(pair: Pair) -> bool:
            masks = () if pair.mask is None else (pair.mask, *pair.more_masks)
            return faulty.isdisjoint((pair.image, *pair.more, *masks))

        splits = {name: list(filter(usable, pairs)) for name, pairs in self.data.splits.items()}
        gone = [name for name, counted in self.frequencies.items() if not splits[name] or not counted.pixels.any()]
        if "train" in gone or len(gone) == len(self.frequencies):
            raise DataError(*self.problem_lines(), "", f"No usable image is left in {' and '.join(gone)}.")
        return replace(self.data, splits={name: pairs for name, pairs in splits.items() if name not in gone})

    def __str__(self) -> str:
        return f"{self.format_problems()}\n\n{self.format_frequencies()}"

    def format_problems(self) -> str:
        """Return the problems as plain text; see ``problem_lines``."""
        return "\n".join(map(visible, self.problem_lines()))

    def problem_lines(self) -> list[str]:
        """Return the problems as lines of text: errors first, grouped by kind, at most ``LISTED`` of each.

        File names are not escaped; see ``visible``.
        """
        lines = [f"{self.data.root}: {self._count()} in {self._size()}"]
        kinds = sorted({problem.kind for problem in self.problems}, key=lambda kind: (self._grade(kind), _ORDER[kind]))
        for kind in kinds:
            problems = [problem for problem in self.problems if problem.kind is kind]
            lines += ["", f"{self._grade(kind)}: {kind.title} ({kind.word}): {len(problems)}"]
            lines += [f"  {self._line(problem)}" for problem in problems[:LISTED]]
            if len(problems) > LISTED:
                lines.append(f"  and {len(problems) - LISTED} more")
            lines += [f"  expected: {problems[0].expected}", f"  what to do: {problems[0].remedy or kind.remedy}"]
        if refused := [kind for kind in kinds if self.severity(kind) == "error"]:
            options = " ".join(f"--allow {kind.word}" for kind in refused)
            left = "; unusable images are then left out" if any(kind.unusable for kind in refused) else ""
            lines += ["", f"To continue anyway: {options}{left}."]
        return lines

    def format_warnings(self) -> list[str]:
        """Return one line for each kind of warning."""
        lines = []
        for kind in Kind:
            problems = [problem for problem in self.warnings if problem.kind is kind]
            if problems:
                more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
                left = "; left out" if kind.unusable else ""
                lines.append(f"warning: {kind.title} ({kind.word}): {self._line(problems[0])}{more}{left}")
        return lines

    def format_frequencies(self) -> str:
        """Return a table, by split, of each class's share of the labelled pixels and the number of images with it."""
        title = "Share of labelled pixels (and images with the class)"
        return "\n".join(map(visible, [title, *frequency_lines(self.data, self.frequencies)]))

    def as_json(self) -> dict[str, object]:
        """Return the report as a dictionary that JSON can represent."""
        return {
            "data": str(self.data.root),
            "images": {split: len(self.data.splits[split]) for split in self.frequencies},
            "classes": self.data.classes,
            "legend": self.data.legend(),
            "notes": [*self.data.notes, *self.remarks],
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "problems": [
                {
                    "kind": problem.kind.word,
                    "title": problem.kind.title,
                    "severity": self.severity(problem.kind),
                    "allowed": problem.kind in self.allow,
                    "files": list(map(self.data.name, problem.files)),
                    "found": problem.found,
                    "expected": problem.expected,
                    "remedy": problem.remedy or problem.kind.remedy,
                }
                for problem in self.problems
            ],
            "frequencies": {
                split: {
                    "pixels": dict(zip(self.data.classes, counted.pixels.tolist(), strict=True)),
                    "images": dict(zip(self.data.classes, counted.images.tolist(), strict=True)),
                    "void": counted.void,
                }
                for split, counted in self.frequencies.items()
            },
        }

    def _grade(self, kind: Kind) -> str:
        return f"{self.severity(kind)}{', allowed' * (kind in self.allow)}"

    def _count(self) -> str:
        counts = {"error": len(self.errors), "warning": len(self.warnings)}
        return " and ".join(f"{many} {grade}{'s' * (many > 1)}" for grade, many in counts.items() if many) or (
            "no problems"
        )

    def _size(self) -> str:
        sizes = ", ".join(f"{split} {len(self.data.splits[split])}" for split in self.frequencies)
        many = sum(len(self.data.splits[split]) for split in self.frequencies)
        return f"{many} image{'s' * (many != 1)} ({sizes})"

    def _line(self, problem: Problem) -> str:
        shown, joined = (3, ", ") if problem.kind in (*GUESSED, Kind.OBJECT_MASKS) else (LISTED, " = ")
        joined = " ≈ " if problem.kind is Kind.NEARLY_IN_SEVERAL_SPLITS else joined
        names = joined.join(map(self.data.name, problem.files[:shown]))
        names += f" and {len(problem.files) - shown} more" if len(problem.files) > shown else ""
        return f"{names}: {problem.found}" if names and problem.found else names or problem.found


_ORDER = {kind: place for place, kind in enumerate(Kind)}
