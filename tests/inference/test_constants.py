"""OpenVINO files whose constants would fill any memory: refused in words before one of them is computed."""

from pathlib import Path

import numpy as np
import pytest

from fullyconv.errors import WeightsError
from fullyconv.inference.exported import open_runner
from fullyconv.inference.graphs.checks import check_openvino
from fullyconv.inference.graphs.constants import MAX_SHAPE_NUMBERS, check_constants

openvino = pytest.importorskip("openvino")
ops = pytest.importorskip("openvino.opset13")

SMALL, HUGE = 977, 2**31 - 1
"""Files are made with the one number, and have the other put in its place: whoever computes so many is ended by it."""


def numbers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def flat(node):
    return ops.reshape(node, numbers(-1), False)


MADE = {
    "broadcast": lambda images: ops.broadcast(np.float32(2), numbers(SMALL)),
    "tile": lambda images: ops.tile(np.ones(1, np.float32), numbers(SMALL)),
    "range": lambda images: ops.range(np.int64(0), np.int64(SMALL), np.int64(1), openvino.Type.i64),
    "range by a step": lambda images: ops.range(
        np.float32(0), np.float32(1), ops.divide(np.float32(1), np.float32(SMALL)), openvino.Type.f32
    ),
    "shape of a tensor of fixed shape": lambda images: flat(
        ops.broadcast(np.float32(2), ops.shape_of(ops.reshape(images, numbers(SMALL, SMALL), False)))
    ),
    "sizes that are multiplied": lambda images: ops.broadcast(
        np.float32(2), ops.multiply(numbers(SMALL), numbers(SMALL))
    ),
    "sizes that are joined": lambda images: flat(
        ops.broadcast(np.float32(2), ops.concat([numbers(SMALL), numbers(SMALL)], 0))
    ),
}
UNKNOWN = {
    "a size beside nothing times the unknown": lambda images: ops.broadcast(
        np.float32(2), ops.add(numbers(SMALL), ops.multiply(numbers(0), ops.power(numbers(3), numbers(2))))
    ),
}
USED = {
    "reshape": lambda images, size: ops.reshape(images, ops.concat([numbers(-1), size], 0), False),
    "broadcast": lambda images, size: ops.multiply(flat(images), ops.reduce_max(ops.broadcast(np.float32(1), size), 0)),
    "slice": lambda images, size: ops.slice(images, size, numbers(9), numbers(1), numbers(3)),
    "pad": lambda images, size: ops.pad(images, numbers(0, 0, 0, 0), ops.concat([numbers(0, 0, 0), size], 0), "edge"),
}


def saved(path: Path, make, use) -> Path:
    """A file that ``use``s the largest of the numbers that ``make`` asks for."""
    images = ops.parameter([-1, 3, -1, -1], openvino.Type.f32, name="images")
    largest = ops.reduce_max(make(images), numbers(0), keep_dims=True)
    openvino.save_model(openvino.Model([use(images, largest)], [images], "m"), path, compress_to_fp16=False)
    weights = path.with_suffix(".bin").read_bytes()
    huge = weights
    for kind in (np.int64, np.float32):
        huge = huge.replace(kind(SMALL).tobytes(), kind(HUGE).tobytes())
    assert huge != weights
    path.with_suffix(".bin").write_bytes(huge)
    return path


@pytest.mark.parametrize("make", MADE)
def test_constants_that_are_computed_when_a_network_is_made_ready_are_bounded(tmp_path, make):
    path = saved(tmp_path / "net.xml", MADE[make], lambda images, number: ops.add(images, ops.convert(number, "f32")))
    check_openvino(path)  # no shape is made of them
    with pytest.raises(WeightsError, match=r"net\.xml: its constants, including \w+ '.*', take more than 64 MiB"):
        check_constants(path, openvino.Core().read_model(path), path.with_suffix(".bin").stat().st_size)


@pytest.mark.parametrize("make", [*MADE, *UNKNOWN])
@pytest.mark.parametrize("use", USED)
def test_what_shapes_are_computed_from_is_bounded_before_a_file_is_read(tmp_path, make, use):
    """The runtime computes it while it reads the file, which therefore must not come to it."""
    path = saved(
        tmp_path / "net.xml",
        (MADE | UNKNOWN)[make],
        lambda images, number: USED[use](images, ops.convert(number, "i64")),
    )
    with pytest.raises(
        WeightsError, match=rf"net\.xml: it computes more than {MAX_SHAPE_NUMBERS:,} numbers for the shape of \w+"
    ):
        open_runner(path)


def test_shapes_that_a_network_computes_of_its_images_are_passed(tmp_path):
    images = ops.parameter([-1, 3, -1, -1], openvino.Type.f32, name="images")
    shape = ops.shape_of(images)
    sides = ops.shape_of(shape)  # four
    ones = ops.broadcast(np.int64(1), ops.subtract(sides, numbers(1)))
    rows = ops.gather(shape, np.int64(2), np.int64(0))
    places = ops.minimum(ops.range(np.int64(0), rows, np.int64(1), openvino.Type.i64), np.int64(7))
    picked = ops.gather(images, places, np.int64(2))
    made = ops.add(ops.reshape(np.array([5], np.float32), ops.concat([ones, numbers(1)], 0), False), picked)
    path = tmp_path / "net.xml"
    openvino.save_model(openvino.Model([made], [images], "m"), path, compress_to_fp16=False)
    check_openvino(path)
    check_constants(path, openvino.Core().read_model(path), path.with_suffix(".bin").stat().st_size)


LAYER = '<layer id="{}" type="{}"/>'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            '<layers>{0}{1}</layers><edges><edge from-layer="0" to-layer="1" to-port="0"/>'
            '<edge from-layer="1" to-layer="0" to-port="0"/></edges>',
            "form a cycle",
        ),
        (
            '<layers>{0}</layers><edges><edge from-layer="7" to-layer="0" to-port="0"/></edges>',
            "layers form a cycle, or some are missing",
        ),
        (
            '<layers>{0}</layers><edges><edge from-layer="0" to-layer="7" to-port="0"/></edges>',
            "not a complete XML file",
        ),
        ("<layers>{0}{0}</layers>", "two layers have the number '0'"),
        ("<layers><layer/></layers>", "not a complete XML file"),
        ("<layers>{0}<body><layers>{0}</layers></body></layers>", "loops or branches"),
    ],
)
def test_layers_that_make_no_graph_are_refused(tmp_path, content, reason):
    (tmp_path / "net.bin").write_bytes(bytes(8))
    path = tmp_path / "net.xml"
    path.write_text("<net>" + content.format(LAYER.format(0, "Abs"), LAYER.format(1, "Abs")) + "</net>")
    with pytest.raises(WeightsError, match=reason):
        check_openvino(path)
