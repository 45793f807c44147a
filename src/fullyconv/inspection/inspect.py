"""What ``fullyconv inspect`` shows: text, and at most one figure."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from fullyconv import geometry
from fullyconv.data.images.read import read_image
from fullyconv.demo import shapes
from fullyconv.errors import ConfigError
from fullyconv.files import whole_file
from fullyconv.inspection import heat, sight, summary, upsampling
from fullyconv.model import fcn
from fullyconv.results.figures import displayable
from fullyconv.weights import run_folder
from fullyconv.weights.named import is_name, untrained

SIZE = (500, 500)
SCENE = 1
"""Seed of a drawn scene that has both large and small shapes."""


def inspect_model(
    model: str,
    size: tuple[int, int] | None,
    image: Path | None,
    cell: tuple[int, int] | None,
    heat_class: str | None,
    compare_upsampling: bool,
    out: Path | None,
    classes: int | None,
    padding: str | None,
) -> Iterator[str]:
    """Yield the text to print, part by part, and write the figure to ``out``. The options are those of the command.

    Raises ConfigError for options that do not go together, WeightsError, DataError and GeometryError.
    """
    _check(size, image, cell, heat_class, compare_upsampling, out)
    trained = not is_name(model)
    net = _network(model, trained, classes, padding)
    if heat_class is not None or compare_upsampling:
        assert out is not None
        if heat_class is not None:
            drawn = _heat(net, model, trained, image, heat_class)
        else:
            drawn = _upsampling(net, trained, image)
        _write(drawn, out)
        yield f"{out}"
        return
    picture = displayable(torch.from_numpy(read_image(image, net.in_channels, net.value_range))) if image else None
    traced = geometry.trace(net, picture.shape[:2] if picture is not None else size or SIZE, net.in_channels)
    rows, columns = traced.outputs[0].size
    if cell is not None and not (cell[0] < rows and cell[1] < columns):
        raise ConfigError(
            f"--cell {cell[0]} {cell[1]}: the scores of an image of {traced.size[0]}×{traced.size[1]} pixels have rows "
            f"0 to {rows - 1} and columns 0 to {columns - 1}."
        )
    yield summary.summary(net, traced)
    if cell is not None:
        yield f"\n{sight.describe(traced, cell)}"
        if out is not None:
            _write(sight.figure(traced, cell, _scene(traced.size) if picture is None else picture), out)
            yield f"{out}"
    else:
        yield f"\n{summary.table(traced)}"


def _check(
    size: tuple[int, int] | None,
    image: Path | None,
    cell: tuple[int, int] | None,
    heat_class: str | None,
    compare_upsampling: bool,
    out: Path | None,
) -> None:
    """Raise ConfigError where the options do not go together."""
    kinds = {"--cell": cell is not None, "--heat": heat_class is not None, "--upsampling": compare_upsampling}
    asked = [name for name, given in kinds.items() if given]
    if len(asked) > 1:
        raise ConfigError(f"{' and '.join(asked)} are different figures: ask for one at a time.")
    if out is not None and not asked:
        raise ConfigError(f"--figure {out}: expected one of {', '.join(kinds)} beside it, which says what to draw.")
    if out is None and (heat_class is not None or compare_upsampling):
        raise ConfigError(f"{asked[0]} draws a figure: add --figure FILE.png.")
    if out is not None and out.suffix.lower() != ".png":
        raise ConfigError(f"--figure {out}: figures are PNG files; give a name that ends in .png.")
    if size is not None and (image is not None or heat_class is not None or compare_upsampling):
        raise ConfigError("--size applies only where no image is looked at: leave it out beside --image or a figure.")
    if heat_class is not None and image is None:
        raise ConfigError("--heat needs an image to look at: add --image FILE.")


def _network(model: str, trained: bool, classes: int | None, padding: str | None) -> fcn.FCN:
    if not trained:
        with torch.device("meta"):  # only its geometry is needed, so that its weights need no memory
            return untrained(model, classes, padding)
    if classes is not None or padding is not None:
        raise ConfigError(f"--classes and --padding are for untrained networks; {model} has its own.")
    return run_folder.load(model)


def _heat(net: fcn.FCN, model: str, trained: bool, image: Path | None, heat_class: str) -> Figure:
    if not trained:
        raise ConfigError(f"{model} is untrained, so its scores are zero: --heat needs a run folder or a weights file.")
    if heat_class in net.classes:
        index = net.classes.index(heat_class)
    elif heat_class.isdecimal() and int(heat_class) < net.num_classes:
        index = int(heat_class)
    else:
        names = ", ".join(net.classes[:30])
        raise ConfigError(f"--heat {heat_class}: expected a class, 0 to {net.num_classes - 1}, or one of {names}.")
    assert image is not None
    pixels = torch.from_numpy(read_image(image, net.in_channels, net.value_range))
    return heat.figure(net, pixels, index, displayable(pixels))


def _upsampling(net: fcn.FCN, trained: bool, image: Path | None) -> Figure:
    """Compare the ways of upsampling on the network's coarse scores.

    An untrained network has no scores to show: in their place are the best that cells 32 pixels apart could give for a
    drawn scene.
    """
    scene = shapes.draw_scene(np.random.default_rng(SCENE))
    if trained:
        drawn = np.asarray(scene.image).transpose(2, 0, 1)
        pixels = drawn if image is None else read_image(image, net.in_channels, net.value_range)
        tensor = torch.from_numpy(pixels.copy())
        coarse, ways = upsampling.of_network(net, tensor)
        learnt = net.method == "transposed"
        return upsampling.figure(displayable(tensor), coarse, ways, net.classes, net.palette, learnt)
    if image is not None:
        raise ConfigError("--image: an untrained network has no scores of it; leave it out to see a drawn scene.")
    coarse, ways = upsampling.of_mask(torch.from_numpy(scene.mask), len(shapes.CLASSES))
    return upsampling.figure(np.asarray(scene.image), coarse, ways, list(shapes.CLASSES), list(shapes.PALETTE))


def _scene(size: tuple[int, int]) -> np.ndarray:
    """Return a drawn scene (H, W, 3), uint8, of ``size``."""
    scene = shapes.draw_scene(np.random.default_rng(SCENE)).image
    return np.asarray(scene.resize((size[1], size[0]), Image.Resampling.BICUBIC))


def _write(drawn: Figure, out: Path) -> None:
    with whole_file(out) as beside:
        drawn.savefig(beside, format="png", bbox_inches="tight")  # a title may reach beyond the figure
