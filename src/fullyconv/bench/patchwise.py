"""Compare AlexNet run patch by patch over an image with AlexNet run once over the whole image.

The CVPR paper (section 3.1) reports 22 ms for the 10×10 grid of a 500×500 image, and 1.2 ms for one 227×227 patch.
The grid has that size where the first layer does not pad and sizes are rounded up, as in Caffe.
"""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fullyconv import geometry
from fullyconv.model.backbones.paper import AlexNet

CLASSES = 1000
BATCHES = (1, 10, 50)
REPEATS = 5


class Comparison(NamedTuple):
    """The scores and times of both ways compared; times are in seconds.

    - ``cells``: rows and columns of the grid of scores.
    - ``window``: side of a patch, in pixels.
    - ``inside_cells``: the number of cells whose patches lie within the image.
    - ``difference``: the largest difference of scores, as a fraction of the largest score.
    - ``inside``: the same for the ``inside_cells``.
    - ``patches_seconds``: time of all patches, in batches of ``batch``.
    - ``dense_seconds``: time of the one pass over the image.
    - ``saved``: operations of the patches / operations of the one pass.
    """

    cells: tuple[int, int]
    window: int
    inside_cells: int
    difference: float
    inside: float
    patches_seconds: float
    batch: int
    dense_seconds: float
    saved: float

    @property
    def ratio(self) -> float:
        """How many times faster the one pass is."""
        return self.patches_seconds / self.dense_seconds


def alexnet(padded: bool = True) -> nn.Module:
    """Return the paper's AlexNet as a convolutionalized classifier, (N, 3, H, W) → (N, 1000, h, w), of random weights.

    It gives one cell for 227×227 pixels, or, if conv2 to conv5 are not ``padded``, for its receptive field, 355×355.
    """
    torch.manual_seed(0)
    trunk = AlexNet(padding="paper")
    for name, layer in trunk.named_children():
        if isinstance(layer, nn.Conv2d) and (name == "conv1" or not padded):
            layer.padding = (0, 0)
    return nn.Sequential(_Last(trunk), nn.Conv2d(trunk.hidden, CLASSES, 1)).eval()


class _Last(nn.Module):
    """A trunk's coarsest tap."""

    def __init__(self, trunk: nn.Module):
        super().__init__()
        self.trunk = trunk

    def forward(self, x: Tensor) -> Tensor:
        return self.trunk(x)[-1]


def windows(image: Tensor, cells: tuple[int, int], window: int, stride: int = 32) -> Tensor:
    """Cut the patch of each cell from an image (C, H, W), row by row: (rows · columns, C, window, window).

    Beyond the image, patches are black.
    """
    height, width = ((count - 1) * stride + window for count in cells)
    whole = image.new_zeros(image.shape[0], max(height, image.shape[1]), max(width, image.shape[2]))
    whole[:, : image.shape[1], : image.shape[2]] = image
    patches = whole[:, :height, :width].unfold(1, window, stride).unfold(2, window, stride)
    return patches.permute(1, 2, 0, 3, 4).reshape(-1, image.shape[0], window, window)


@torch.inference_mode()
def compare(network: nn.Module, window: int, image: Tensor, repeats: int = REPEATS) -> Comparison:
    """Run ``network`` once over an image (C, H, W), and over each cell's patch in the fastest of ``BATCHES``."""
    dense = network(image[None])[0]
    cells = (dense.shape[1], dense.shape[2])
    patches = windows(image, cells, window)
    slid = torch.cat([network(part) for part in patches.split(10)]).flatten(1).T.reshape(dense.shape)
    error = (dense - slid).abs().amax(0) / slid.abs().max()
    fits = [(size - window) // 32 + 1 for size in image.shape[1:]]
    inside = error[: fits[0], : fits[1]]

    def in_batches(size: int) -> Callable[[], list[Tensor]]:
        return lambda: [network(part) for part in patches.split(size)]

    batch = min(BATCHES, key=lambda size: _seconds(in_batches(size), 1))
    whole, patch = (
        geometry.trace(network, size).operations for size in ((image.shape[1], image.shape[2]), (window, window))
    )
    return Comparison(
        cells,
        window,
        inside.numel(),
        float(error.max()),
        float(inside.max()),
        _seconds(in_batches(batch), repeats),
        batch,
        _seconds(lambda: network(image[None]), repeats),
        len(patches) * patch / whole,
    )


def report(size: tuple[int, int], repeats: int = REPEATS) -> Iterator[str]:
    """Compare both ways on noise of ``size``, with and without padding in conv2 to conv5; yield lines of Markdown."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    image = torch.randn(3, *size, generator=torch.Generator().manual_seed(0)).mul(60).to(device)
    threads = "" if device == "cuda" else f", {torch.get_num_threads()} threads"
    yield f"AlexNet, {size[0]}×{size[1]} pixels, {device}{threads}, torch {torch.__version__}; best of {repeats} runs"
    yield ""
    yield (
        "| padding in conv2–5 | grid | patches (best batch) | one pass | times faster | operations saved "
        "| largest difference | of patches within the image |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for padded, window in ((True, 227), (False, 355)):
        result = compare(alexnet(padded).to(device), window, image, repeats)
        count = result.cells[0] * result.cells[1]
        yield (
            f"| {'yes' if padded else 'no'} | {result.cells[0]}×{result.cells[1]} "
            f"| {count} of {window}×{window}: {result.patches_seconds * 1e3:.0f} ms ({result.batch}) "
            f"| {result.dense_seconds * 1e3:.0f} ms | {result.ratio:.1f} | {result.saved:.1f}× "
            f"| {result.difference:.1e} | {result.inside:.1e} ({result.inside_cells} of {count}) |"
        )


def _seconds(run: Callable[[], object], repeats: int) -> float:
    """Return the time of the shortest of ``repeats`` runs."""
    taken = []
    for _ in range(repeats):
        _finish()
        start = time.perf_counter()
        run()
        _finish()
        taken.append(time.perf_counter() - start)
    return min(taken)


def _finish() -> None:
    """Wait until the GPU, if there is one, has done its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
