"""The labels of one image, which can be shown and saved."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from fullyconv.classes import IGNORE
from fullyconv.data.images.files import write_image
from fullyconv.errors import ConfigError
from fullyconv.palettes import Colour
from fullyconv.results.figures import index_image, overlay, with_legend

SHOWN = 1024
"""Most pixels of the longer side of the picture in a notebook."""


@dataclass(frozen=True)
class Segmentation:
    """The labels of one image.

    - ``labels``: (H, W) uint8, indices into ``classes`` and ``palette``; IGNORE (255) where the image has no data.
    - ``image``: what was labelled, to be shown, (H, W, 3) uint8.
    - ``probabilities``: (C, H, W) float32; None where they were not asked for.
    """

    labels: np.ndarray
    image: np.ndarray
    classes: list[str]
    palette: list[Colour]
    probabilities: np.ndarray | None = None

    def __repr__(self) -> str:
        """Return the size, and the share of the pixels that each class in the image has."""
        counts = np.bincount(self.labels.ravel(), minlength=IGNORE + 1)
        named = {**dict(enumerate(self.classes)), IGNORE: "no data"}
        shares = (f"{named[i]} {counts[i] / counts.sum():.1%}" for i in np.argsort(-counts, kind="stable") if counts[i])
        height, width = self.labels.shape
        return f"Segmentation of {height}×{width} pixels: {', '.join(shares)}"

    def overlay(self, alpha: float = 0.5, legend: bool = True) -> Image.Image:
        """Return the image under its classes' colours, of strength ``alpha``, above a legend of the classes in it."""
        picture = overlay(self.image, self.labels, self.palette, alpha)
        if not legend:
            return Image.fromarray(picture)
        present = [label for label in np.unique(self.labels) if label != IGNORE]
        return with_legend(picture, [self.classes[i] for i in present], [self.palette[i] for i in present])

    def _repr_png_(self) -> bytes:
        """Return the overlay of the image, reduced to at most ``SHOWN`` pixels a side, as a PNG file for notebooks."""
        step = -(-max(self.labels.shape) // SHOWN)
        small = replace(self, labels=self.labels[::step, ::step], image=self.image[::step, ::step], probabilities=None)
        file = io.BytesIO()
        small.overlay().save(file, format="PNG")
        return file.getvalue()

    def save(self, path: str | Path) -> None:
        """Write the labels as an index PNG, whole or not at all.

        Its mode is P: values are the classes, the palette their colours. Raises ConfigError for a path that does
        not end in .png, as other formats would change the labels.
        """
        if Path(path).suffix.lower() != ".png":
            raise ConfigError(f"{path}: labels are written as PNG, which keeps them exactly; expected a path in .png")
        write_image(Path(path), index_image(self.labels, self.palette))

    def heatmap(self, of: str | int | np.integer) -> Image.Image:
        """Return the probability of a class, given by name or index, as a picture.

        Its mode is P: values are round(255 · probability), in the colours of matplotlib's magma. Raises
        ConfigError for a class that is not there, or where the probabilities were not asked for.
        """
        if self.probabilities is None:
            raise ConfigError("heat maps need the probabilities; ask for them: predictor(image, probabilities=True)")
        index = self.classes.index(of) if isinstance(of, str) and of in self.classes else of
        if not isinstance(index, int | np.integer) or not 0 <= index < len(self.classes):
            raise ConfigError(f"there is no class {of!r}; the classes are {', '.join(self.classes)}")
        import matplotlib  # which labels and overlays do without

        picture = Image.fromarray(np.rint(self.probabilities[index] * 255).astype(np.uint8)).convert("P")
        picture.putpalette((matplotlib.colormaps["magma"](range(256), bytes=True)[:, :3]).tobytes())
        return picture
