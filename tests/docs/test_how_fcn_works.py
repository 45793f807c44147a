"""The page that explains FCNs: its code prints what it says, its figures are what the code beside it draws."""

import io
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS / "figures"))

import learning  # noqa: E402
from draw import FIGURES  # noqa: E402
from looks import picture  # noqa: E402

ENGLISH, CHINESE = ((DOCS / f"how-fcn-works{suffix}.md").read_text(encoding="utf-8") for suffix in ("", ".zh"))
LARGEST = 150_000


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of each fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def prose(page: str) -> str:
    return re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)


def bold_numbers(page: str) -> list[str]:
    return re.findall(r"\*\*([\d.,]+)\*\*", prose(page))


def pictures(page: str) -> list[str]:
    return re.findall(r"!\[[^\]]+\]\(images/how-([\w-]+)\.png\)", page)


def test_each_block_prints_what_stands_below_it() -> None:
    found = blocks(ENGLISH)
    session: dict[str, Any] = {"__name__": "page"}
    for (language, code), (kind, expected) in zip(found, [*found[1:], ("", "")], strict=True):
        if language == "python":
            printed = io.StringIO()
            with redirect_stdout(printed):
                exec(code, session)
            assert printed.getvalue() == (expected if kind == "text" else ""), code


def test_bold_numbers_are_among_what_is_printed() -> None:
    printed = " ".join(text for kind, text in blocks(ENGLISH) if kind == "text")
    numbers = set(re.findall(r"\d[\d.,]*\d|\d", printed))
    assert len(bold_numbers(ENGLISH)) > 10
    assert set(bold_numbers(ENGLISH)) <= numbers


def test_both_languages_have_the_same_code_numbers_and_figures() -> None:
    assert blocks(CHINESE) == blocks(ENGLISH)
    assert sorted(bold_numbers(CHINESE)) == sorted(bold_numbers(ENGLISH))
    assert pictures(CHINESE) == pictures(ENGLISH)
    assert CHINESE.count("\n## ") == ENGLISH.count("\n## ")


@pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_links_within_the_page_and_to_files_lead_somewhere(page: str) -> None:
    headings = [
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)", page, re.M)
    ]
    for target in re.findall(r"\]\(([^)]+)\)", prose(page)):
        if target.startswith("#"):
            assert target[1:] in headings
        elif not target.startswith("https://"):
            assert (DOCS / target).exists(), target


def test_every_figure_is_shown() -> None:
    drawn = {path.stem.removeprefix("how-") for path in (DOCS / "images").glob("how-*.png")}
    assert set(pictures(ENGLISH)) == set(FIGURES) == drawn


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_what_its_code_draws(name: str) -> None:
    path = DOCS / "images" / f"how-{name}.png"
    assert path.stat().st_size < LARGEST
    drawn, shown = (np.asarray(x.convert("RGB"), dtype=float) for x in (picture(FIGURES[name]), Image.open(path)))
    assert drawn.shape == shown.shape
    assert (np.abs(drawn - shown) > 32).mean() < 1e-4


def test_the_page_measures_the_figure_s_labels() -> None:
    counts = np.zeros((3, 3), int)
    for truth, label in zip(learning.TRUTH.flatten().tolist(), learning.LABELS.flatten().tolist(), strict=True):
        if truth != 255:
            counts[truth, label] += 1
    assert f"confusion = {counts.tolist()}" in ENGLISH
