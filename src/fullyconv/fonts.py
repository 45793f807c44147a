"""Find fonts that can draw the names of classes and files in any script."""

import warnings
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
from matplotlib.font_manager import findSystemFonts
from matplotlib.ft2font import FT2Font

PREFERRED = (
    *(
        "notosanscjk",
        "notosanssc",
        "notosanstc",
        "notosansjp",
        "notosanskr",
        "sourcehansans",
        "wqy",
        "droidsansfallback",
    ),
    *("msyh", "simhei", "simsun", "pingfang", "hiragino", "stheiti", "malgun", "yugoth", "meiryo", "msgothic"),
    *("droidsansfallback", "arialuni", "notosans", "segoeui", "freesans"),
)
"""Prefixes of the file names (without hyphens) of fonts with many characters, which are tried first."""
UNFIT = ("lastresort", "emoji", "adobeblank")
"""Fonts that draw pictures, squares or nothing instead of letters."""


def fonts_for(texts: Iterable[str]) -> list[tuple[str, Path]]:
    """Return each text in a drawable form, with the file of a font that can draw it.

    The font is matplotlib's own, or else an installed one that has all characters. If there is none, characters that
    matplotlib's font lacks are replaced by their codes, such as U+80CC, and one warning lists them all.
    """
    own = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    found, undrawable = [], set[int]()
    for text in texts:
        wanted = frozenset(ord(character) for character in text if character.isprintable())
        lacking = _lacking(own, wanted)
        font = _installed(lacking, wanted) if lacking else own
        if font is None:
            undrawable |= lacking
            text, font = "".join(f"U+{ord(c):04X} " if ord(c) in lacking else c for c in text).rstrip(), own
        found.append((text, font))
    if undrawable:
        _warn("".join(map(chr, sorted(undrawable))))
    return found


@lru_cache(maxsize=256)
def _installed(lacking: frozenset[int], wanted: frozenset[int]) -> Path | None:
    """Return the first installed font that has all ``lacking`` and ``wanted`` characters; None if there is none."""
    for font in _candidates():
        if not _lacking(font, lacking) and not _lacking(font, wanted):
            return font
    return None


@lru_cache(maxsize=1)
def _candidates() -> tuple[Path, ...]:
    def rank(path: Path) -> tuple[int, bool, str]:
        name = path.stem.lower().replace("-", "").replace("_", "")
        first = next((place for place, start in enumerate(PREFERRED) if name.startswith(start)), len(PREFERRED))
        return first, "regular" not in name, name

    fonts = sorted(map(Path, findSystemFonts()), key=rank)
    return tuple(font for font in fonts if not any(word in font.stem.lower() for word in UNFIT))


def _lacking(font: Path, characters: Iterable[int]) -> frozenset[int]:
    """Return the characters that a font cannot draw: all of them, if it cannot be read or is a bitmap font."""
    try:
        face = FT2Font(str(font))
        if face.scalable:
            return frozenset(character for character in characters if not face.get_char_index(character))
    except (OSError, RuntimeError):  # RuntimeError is FreeType's
        pass
    return frozenset(characters)


@cache
def _warn(characters: str) -> None:
    shown = characters if len(characters) <= 20 else f"{characters[:20]} and {len(characters) - 20} more"
    warnings.warn(
        f"No installed font has the characters {shown}, so figures show their codes. For Chinese, Japanese and Korean, "
        "install a font such as Noto Sans CJK.",
        stacklevel=3,
    )
