"""What is asked for beside the rates of whole areas is measured on every image, in each labeling, and shown."""

import csv
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from fullyconv.cli.tables import tables
from fullyconv.data import IGNORE, open_data
from fullyconv.errors import ConfigError
from fullyconv.evaluation.boundary import (
    Boundaries,
    BoundaryCounts,
    Length,
    boundary_counts,
    boundary_result,
    read_spacing,
)
from fullyconv.evaluation.calibration import Reliability
from fullyconv.evaluation.evaluate import evaluate
from fullyconv.evaluation.further import Collected, Further, asked
from fullyconv.evaluation.measure import measure
from fullyconv.evaluation.report.report import evaluate_and_report
from tests.evaluation.conftest import ColourNet
from tests.evaluation.test_report import Page

OPTIONS = Boundaries(Length(1, False), Length(1, False))


class TwoColours(ColourNet):
    """A network of two classes: red, and whatever is not."""

    classes, palette = ("other", "red"), ((0, 0, 255), (255, 0, 0))

    def forward(self, images):
        red, green, blue = images.float().div(60).unbind(1)
        return torch.stack([torch.maximum(green, blue), red], 1)


class TwoHeads(ColourNet):
    """Two labelings: which colour, and whether it is red."""

    classes, heads = ("red", "green", "blue", "red", "other"), {"colour": 3, "redness": 2}

    def labels_and_confidence(self, images):
        colour = images.float().div(60).softmax(1)
        red = torch.stack([colour[:, 0], 1 - colour[:, 0]], 1)
        found = [part.max(1) for part in (colour, red)]
        return torch.stack([part.indices for part in found], 1), torch.stack([part.values for part in found], 1)

    def predict(self, images):
        return self.labels_and_confidence(images)[0]


@pytest.fixture
def examples(paint):
    """Images of blocks with a few pixels wrong and some void."""
    draw = torch.Generator().manual_seed(0)
    found = []
    for index in range(4):
        labels = torch.randint(0, 3, (3 + index, 4), generator=draw).repeat_interleave(4, 0).repeat_interleave(5, 1)
        truth = labels.roll(index % 2, 1).to(torch.uint8)
        truth[0] = IGNORE
        found.append((paint(labels), truth, index))
    return found


def of_network(net, examples):
    """Each image's truth, labels and confidence, as planes."""
    for image, truth, _ in examples:
        labels, confidence = net.labels_and_confidence(image[None])
        planes = (truth.numpy(), labels[0].numpy().astype(np.uint8), confidence[0].detach().numpy())
        yield [plane.reshape(-1, *image.shape[1:]) for plane in planes]


def test_every_image_is_measured_in_each_labeling(examples):
    net = TwoHeads()
    examples = [
        (image, torch.stack([truth, torch.where(truth == IGNORE, IGNORE, (truth != 0).to(torch.uint8))]), index)
        for image, truth, index in examples
    ]
    collected = Collected(Further(OPTIONS, calibration=True), net)
    result, _ = evaluate(net, examples, workers=0, collected=collected)
    result = collected.added_to(result, absent_excluded=False)
    assert list(result["heads"]) == ["colour", "redness"]
    assert result["boundary"] == result["heads"]["colour"]["boundary"]
    for head, names in enumerate((["red", "green", "blue"], ["red", "other"])):
        own = [[plane[head] for plane in planes] for planes in of_network(net, examples)]
        counts = [boundary_counts(truth, labels, len(names), OPTIONS) for truth, labels, _ in own]
        expected = boundary_result(BoundaryCounts.stacked(counts), names, OPTIONS)
        reliability = Reliability(names)
        for planes in own:
            reliability.add(*planes)
        found = list(result["heads"].values())[head]
        assert found["boundary"] == expected
        assert found["calibration"] == reliability.result()
        assert found["mean_iou"] is not None
        assert "thresholds" not in found


@pytest.mark.parametrize("further", [Further(), Further(OPTIONS), Further(None, True), Further(OPTIONS, True, True)])
def test_the_rates_are_the_same_whatever_else_is_asked_for(examples, further):
    net = TwoColours()
    examples = [
        (image, torch.where(truth == IGNORE, IGNORE, truth == 0).to(torch.uint8), i) for image, truth, i in examples
    ]
    alone, _ = evaluate(net, examples, workers=0)
    with_it, _ = evaluate(net, examples, workers=0, collected=Collected(further, net))
    assert alone == with_it


@pytest.mark.parametrize(("net", "has"), [(ColourNet(), "3 classes"), (TwoHeads(), "2 labelings")])
def test_thresholds_are_for_two_classes(net, has):
    with pytest.raises(ConfigError, match=f"--threshold-curve is for networks of two classes; colours has {has}"):
        Collected(Further(threshold_curve=True), net)


def test_options_are_read_as_people_write_them():
    assert asked() == Further()
    assert asked(calibration=True, threshold_curve=True) == Further(None, True, True)
    assert asked(boundary=True) == Further(Boundaries())
    found = asked(True, boundary_width="1.5%", boundary_tolerance=3, spacing="0.5x0.7").boundary
    assert found == Boundaries(Length(0.015, True), Length(3, False), (0.5, 0.7), "the unit of the spacing 0.5x0.7")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spacing": 2.0}, "--spacing is for --boundary: add it"),
        (
            {"boundary_width": 2, "boundary_tolerance": 1},
            "--boundary-width and --boundary-tolerance are for --boundary",
        ),
        ({"boundary": True, "boundary_tolerance": "wide"}, "--boundary-tolerance wide: expected pixels"),
        ({"boundary": True, "spacing": "1x2x3"}, "--spacing 1x2x3: expected the size of a pixel"),
        ({"boundary": True, "spacing": 0}, "--spacing 0: expected"),
        ({"boundary": True, "spacing": "a"}, "--spacing a: expected"),
        ({"boundary": True, "spacing": float("inf")}, "--spacing inf: expected"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        asked(**options)


@pytest.mark.parametrize("written", [0.5, "0.5", (0.5, 0.5), "0.5x0.5"])
def test_spacing_is_one_number_or_two(written):
    assert read_spacing(written) == (0.5, 0.5)


def folder_of(root, paint, save_image):
    for index, columns in enumerate((8, 11)):
        labels = torch.zeros(16, 40, dtype=torch.long)
        labels[4:12, columns : columns + 9] = 1
        for kind in ("images", "masks"):
            (root / kind / "test").mkdir(parents=True, exist_ok=True)
        save_image(root / "images/test" / str(index), paint(1 - labels).permute(1, 2, 0).numpy())
        mask = labels.roll(2, 1).numpy().astype(np.uint8)
        Image.fromarray(mask).save(root / f"masks/test/{index}.png")
    (root / "dataset.yaml").write_text(
        "classes: [other, red]\nsplits: {test: {images: images/test, masks: masks/test}}\n", encoding="utf-8"
    )
    return open_data(root)


def png(path, pixels):
    Image.fromarray(pixels).save(path.with_suffix(".png"))


def test_everything_is_in_the_file_the_table_the_report_and_on_the_terminal(tmp_path, paint):
    data, net, run = folder_of(tmp_path / "data", paint, png), TwoColours(), tmp_path / "run"
    further = Further(OPTIONS, calibration=True, threshold_curve=True, chosen_threshold=0.25)
    result = evaluate_and_report(net, data, "test", run, run / "evaluation.json", further=further)
    assert json.loads((run / "evaluation.json").read_text(encoding="utf-8")) == result
    assert result["boundary"]["per_class"][1]["hd95"] == 2
    rows = list(csv.DictReader(io.StringIO((run / "evaluation-images.csv").read_text(encoding="utf-8"))))
    assert [row["hd95 red"] for row in rows] == ["2", "2"]
    assert {"boundary iou other", "boundary f1 red"} < rows[0].keys()
    text = (run / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    titles = ("<h2>Boundaries</h2>", "<h2>Calibration</h2>", "<h2>Thresholds</h2>")
    assert all(title in text for title in titles)
    assert [attrs["aria-label"].partition(":")[0] for attrs in page.all("svg")] == [
        "Reliability",
        "Rates by threshold",
        "Precision over recall",
    ]
    for attrs in page.all("rect"):
        assert float(attrs["y"]) + float(attrs["height"]) <= 260
        assert float(attrs["height"]) >= 0
    areas, boundaries, calibration, thresholds = tables(result, "")
    assert boundaries.splitlines()[2].split()[0] == "red"
    assert boundaries.splitlines()[2].split()[-2:] == ["2", "2"]
    assert "IoU within 1 pixel, F1 within 1 pixel; HD95 in pixels" in boundaries
    assert calibration.splitlines()[0].startswith("probability of red")
    assert [" ".join(line.split()[1:-4]) for line in thresholds.splitlines()[1:4]] == [
        "as labelled",
        "best on val",
        "best here",
    ]
    assert "IoU" in areas


def test_what_is_not_defined_is_a_dash(tmp_path, paint):
    """The second class is neither in the truth nor given anywhere."""
    data, net = folder_of(tmp_path / "data", paint, png), TwoColours()
    for path in (tmp_path / "data/masks/test").iterdir():
        Image.fromarray(np.zeros((16, 40), np.uint8)).save(path)
    for path in (tmp_path / "data/images/test").iterdir():
        Image.fromarray(np.full((16, 40, 3), (20, 220, 20), np.uint8)).save(path)
    data = open_data(data.root)
    result = evaluate_and_report(net, data, "test", tmp_path / "run", further=Further(OPTIONS, True, True))
    text = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "nan" not in text.lower()
    assert result["boundary"]["per_class"][1]["hd95"] is None
    assert result["thresholds"]["best"] is None
    _, boundaries, _, thresholds = tables(result, "")
    assert boundaries.splitlines()[2].split() == ["red", "-", "-", "-", "-", "-", "0"]
    assert thresholds.splitlines()[-1].split()[-1] == "-"


@pytest.mark.parametrize(
    ("system", "side", "unit", "hd95"),
    [
        ("EPSG:32633", 0.5, "metres", 1.0),
        ("EPSG:2263", 10.0, "metres", 2 * 10 * 1200 / 3937),  # New York's, in US survey feet
        ("EPSG:4326", 0.001, "pixels", 2.0),  # degrees are no lengths
    ],
)
def test_georeferenced_images_give_hd95_in_metres(tmp_path, paint, system, side, unit, hd95):
    rasterio = pytest.importorskip("rasterio")
    pytest.importorskip("tifffile")

    def geotiff(path, pixels):
        place = {"crs": system, "transform": rasterio.Affine(side, 0, 10, 0, -side, 50)}
        size = {"height": pixels.shape[0], "width": pixels.shape[1], "count": 3, "dtype": "uint8"}
        with rasterio.open(path.with_suffix(".tif"), "w", driver="GTiff", photometric="RGB", **size, **place) as file:
            file.write(pixels.transpose(2, 0, 1))

    data = folder_of(tmp_path / "data", paint, geotiff)
    result = measure(TwoColours(), data, "test", further=Further(OPTIONS)).result["boundary"]
    assert result["hd95_unit"] == unit
    assert result["per_class"][1]["hd95"] == pytest.approx(hd95)
    given = measure(TwoColours(), data, "test", further=asked(True, spacing=3)).result["boundary"]
    assert (given["hd95_unit"], given["per_class"][1]["hd95"]) == ("the unit of the spacing 3x3", 6)
