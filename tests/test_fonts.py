"""Names are drawn in a font that has their characters, or shown by the characters' codes: never as squares."""

import string
import warnings

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image, ImageDraw, ImageFont

from fullyconv import fonts
from fullyconv.data import open_data
from fullyconv.data.samples import show
from fullyconv.results.figures import with_legend

CHINESE = "建筑物"
TEXT = string.printable.strip() + " "


def a_font(path, characters):
    """Write a font that draws each of these characters as a bar, each of another height."""
    names = {ord(character): f"glyph{place}" for place, character in enumerate(characters)}
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap(names)
    glyphs = {}
    for place, name in enumerate([".notdef", *names.values()]):
        pen = TTGlyphPen(None)
        pen.moveTo((100, 0))
        pen.lineTo((100, 300 + 5 * place))
        pen.lineTo((800, 300 + 5 * place))
        pen.closePath()
        glyphs[name] = pen.glyph()
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Say which font files are installed."""

    def install(*files):
        monkeypatch.setattr(fonts, "findSystemFonts", lambda: list(map(str, files)))
        for remembered in (fonts._installed, fonts._candidates, fonts._warn):
            remembered.cache_clear()

    yield install
    for remembered in (fonts._installed, fonts._candidates, fonts._warn):
        remembered.cache_clear()


def test_a_font_with_all_characters_is_found_among_those_without(installed, tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    latin = a_font(tmp_path / "latin.ttf", TEXT)
    some = a_font(tmp_path / "some.ttf", CHINESE)
    every = a_font(tmp_path / "every.ttf", CHINESE + TEXT)
    squares = a_font(tmp_path / "LastResort.otf", CHINESE + TEXT)
    installed(tmp_path / "broken.ttf", squares, latin, some, every)
    texts = ["road, Straße, дорога", CHINESE, f"{CHINESE} 2"]
    drawn = fonts.fonts_for(texts)
    assert [text for text, _ in drawn] == texts
    assert drawn[0][1].name == "DejaVuSans.ttf"
    assert drawn[1][1] in (some, every)
    assert drawn[2][1] == every


def test_without_one_the_codes_are_shown_and_one_warning_names_the_characters(installed):
    installed()
    with pytest.warns(UserWarning, match="has the characters 建物筑道, so figures show their codes") as said:
        drawn = [fonts.fonts_for([f"a {CHINESE}", "道", "road"]) for _ in range(3)]
    assert [text for text, _ in drawn[2]] == ["a U+5EFA U+7B51 U+7269", "U+9053", "road"]
    assert len(said) == 1


def test_legends_and_samples_are_drawn_in_it(installed, tmp_path, monkeypatch):
    every = a_font(tmp_path / "every.ttf", CHINESE + TEXT)
    installed(every)
    width = 900
    drawn = np.asarray(with_legend(np.zeros((200, width, 3), np.uint8), [CHINESE], [(0, 0, 0)]).convert("L"))
    wanted = Image.new("L", (200, 100), 255)
    ImageDraw.Draw(wanted).text((0, 50), CHINESE, fill=32, font=ImageFont.truetype(every, 22), anchor="lm")
    ink = np.asarray(wanted) < 100
    assert abs(int((drawn[200:, 34:] < 100).sum()) - int(ink.sum())) <= 0.1 * ink.sum()

    for split in ("tr", "va"):
        for folder in (split, f"{split}m"):
            (tmp_path / folder).mkdir()
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / split / "图.png")
        Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / f"{split}m" / "图.png")
    splits = "{train: {images: tr, masks: trm}, val: {images: va, masks: vam}}"
    (tmp_path / "dataset.yaml").write_text(f"classes: [背景, {CHINESE}]\nsplits: {splits}\n", encoding="utf-8")
    installed(a_font(tmp_path / "all.ttf", f"背景图{CHINESE}{TEXT}"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of each character that it draws as a square
        show(open_data(tmp_path), tmp_path / "figure.png")
