"""One image's labels, and what they are shown and saved as."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from fullyconv.data.images import write_image
from fullyconv.errors import ConfigError
from fullyconv.palettes import Colour
from fullyconv.results.figures import index_image, overlay, with_legend

SHOWN = 1024
"""Pixels of the longer side of the picture in a notebook."""


@dataclass(frozen=True)
class Segmentation:
    """One image's labels.

    ``labels`` is (H, W) uint8, indices into ``classes`` and ``palette``; ``image``, for showing, is what was
    labelled, (H, W, 3) uint8; ``probabilities`` is (C, H, W) float32, or None where they were not asked for.
    """

    labels: np.ndarray
    image: np.ndarray
    classes: list[str]
    palette: list[Colour]
    probabilities: np.ndarray | None = None

    def overlay(self, alpha: float = 0.5, legend: bool = True) -> Image.Image:
        """The image under its classes' colours (of strength ``alpha``), above a legend of those in it."""
        picture = overlay(self.image, self.labels, self.palette, alpha)
        if not legend:
            return Image.fromarray(picture)
        present = np.unique(self.labels)
        return with_legend(picture, [self.classes[i] for i in present], [self.palette[i] for i in present])

    def _repr_png_(self) -> bytes:
        """The overlay as a PNG file of at most ``SHOWN`` pixels a side, for notebooks."""
        step = -(-max(self.labels.shape) // SHOWN)
        small = replace(self, labels=self.labels[::step, ::step], image=self.image[::step, ::step], probabilities=None)
        file = io.BytesIO()
        small.overlay().save(file, format="PNG")
        return file.getvalue()

    def save(self, path: str | Path) -> None:
        """Write the labels as an index PNG, whole or not at all.

        Its mode is P: values are classes, the palette their colours. Raises ConfigError for a path that does
        not end in .png: other formats would change the labels.
        """
        if Path(path).suffix.lower() != ".png":
            raise ConfigError(f"{path}: labels are written as PNG, which keeps them exactly; end the path in .png")
        write_image(Path(path), index_image(self.labels, self.palette))

    def heatmap(self, of: str | int | np.integer) -> Image.Image:
        """The probability of a class, by name or index, as a picture.

        Its mode is P: values are round(255 · probability), seen through matplotlib's magma. Raises
        ConfigError for a class that is not there, or where the probabilities were not asked for.
        """
        if self.probabilities is None:
            raise ConfigError("heat maps need the probabilities; ask for them: predictor(image, probabilities=True)")
        index = self.classes.index(of) if isinstance(of, str) and of in self.classes else of
        if not isinstance(index, int | np.integer) or not 0 <= index < len(self.classes):
            raise ConfigError(f"there is no class {of!r}; the classes are {', '.join(self.classes)}")
        picture = Image.fromarray(np.rint(self.probabilities[index] * 255).astype(np.uint8)).convert("P")
        picture.putpalette((matplotlib.colormaps["magma"](range(256), bytes=True)[:, :3]).tobytes())
        return picture
