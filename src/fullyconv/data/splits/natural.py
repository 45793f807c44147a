"""Order text as people do: frame 9 before frame 10."""

import re

Natural = tuple[tuple[int, int, str], ...]


def natural(text: str) -> Natural:
    """Return a key that sorts text with the numbers in it by their values, so also dates such as 2024-05-01."""
    pieces = re.split(r"([0-9]+)", text)
    return tuple(
        (0, int(piece), piece) if piece.isdecimal() and len(piece) < 1000 else (1, 0, piece)
        for piece in pieces
        if piece
    )
