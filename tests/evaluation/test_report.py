import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fullyconv.data import IGNORE, Data, open_data
from fullyconv.data.masks import MaskCode
from fullyconv.errors import DataError
from fullyconv.evaluation.evaluate import Comparison
from fullyconv.evaluation.measure import lacking, measure
from fullyconv.evaluation.metrics import metrics
from fullyconv.evaluation.report.charts import LARGEST_TABLE, line_chart
from fullyconv.evaluation.report.places import places
from fullyconv.evaluation.report.report import evaluate_and_report, write_report

PALETTE = [(200, 10, 10), (10, 200, 10), (10, 10, 200)]
CURVES = """epoch,lr-SGD,step,train_loss,val_loss,val_mean_iou,val_pixel_accuracy
0,0.1,0,2.0,,,
0,,9,,1.5,0.2,0.5
1,0.05,10,nan,,,
1,,19,1.25,,0.625,0.75
"""


class Page(HTMLParser):
    """The page's tags, in order; raises where one is closed that was not opened last."""

    VOID = frozenset(("meta", "img", "br"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture
def result():
    return metrics([[6, 2, 0], [0, 9, 1], [0, 0, 0]], ["sky", "road & <kerb>", "cat"], images=2, split="val")


@pytest.fixture
def example():
    truth = np.zeros((30, 50), dtype=np.uint8)
    truth[:, 25:], truth[:5] = 1, IGNORE
    prediction = np.zeros_like(truth)
    return Comparison("day/one.jpg", np.full((30, 50, 3), 90, dtype=np.uint8), truth, prediction, 0.25)


def written(run: Path, *args, **options) -> tuple[str, Page]:
    path = write_report(run, *args, **options)
    assert path == run / "report.html"
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


def test_report_stands_alone_and_says_everything(tmp_path, result, example):
    (tmp_path / "metrics.csv").write_text(CURVES)
    (tmp_path / "config.yaml").write_text("model: fcn8s-resnet18 # <quick>\n")
    text, page = written(
        tmp_path,
        result,
        PALETTE,
        [example],
        [example],
        command="fullyconv train --data 'a & b'",
        title="A <run>",
    )
    sources = [attrs["src"] for attrs in page.all("img")]
    assert len(sources) == 8
    assert all(source.startswith("data:image/") for source in sources)
    assert not page.all("script")
    assert not page.all("link")
    assert not re.search(r"https?://|url\(|@import", text)
    assert all(attrs["alt"] for attrs in page.all("img"))
    for words in (
        "A &lt;run&gt;",
        "2 images of the split “val”, 3 classes",
        "road &amp; &lt;kerb&gt;",
        "<b>25.0%</b> of sky is labelled road",
        "model: fcn8s-resnet18 # &lt;quick&gt;",
        "fullyconv train --data &#x27;a &amp; b&#x27;",
        "day/one.jpg",
        "50.0% of the pixels wrong",
    ):
        assert words in text
    numbers = re.findall(r"<dd>([\d.]+)<small>", text)
    assert numbers == [
        f"{100 * result[k]:.1f}" for k in ("mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou")
    ]


def test_embedded_labels_have_the_classes_exact_colours(tmp_path, result, example):
    _, page = written(tmp_path, result, PALETTE, [example])
    truth = next(attrs["src"] for attrs in page.all("img") if attrs["alt"].startswith("Truth"))
    picture = Image.open(io.BytesIO(base64.b64decode(truth.partition(",")[2]))).convert("RGB")
    assert np.array_equal(np.asarray(picture)[5:, :25], np.broadcast_to(PALETTE[0], (25, 25, 3)))
    assert np.array_equal(np.asarray(picture)[5:, 25:], np.broadcast_to(PALETTE[1], (25, 25, 3)))


def test_what_is_missing_is_left_out(tmp_path):
    text, _ = written(tmp_path, metrics(np.zeros((2, 2)), ["a", "b"], images=1), PALETTE[:2])
    assert re.findall("<h2>(.*?)</h2>", text) == ["Classes", "Confusion"]
    assert text.count("<dd>–</dd>") == 4
    assert "nan" not in text.lower()


def test_curves_take_the_columns_there_are_and_skip_what_is_not_finite(tmp_path, result):
    (tmp_path / "metrics.csv").write_text(CURVES)
    _, page = written(tmp_path, result, PALETTE)
    labels = [attrs["aria-label"] for attrs in page.all("svg")]
    assert labels == [
        "Loss: train loss ends at 1.25; val loss ends at 1.5",
        "IoU: val mean iou ends at 0.625",
        "Accuracy: val pixel accuracy ends at 0.75",
        "Learning rate: lr-SGD ends at 0.05",
    ]


@pytest.mark.parametrize("table", ["", "step,train_loss\n", "step,train_loss\n1,\n", "step,minutes\n1,2\n"])
def test_a_table_without_curves_gives_no_training_section(tmp_path, result, table):
    (tmp_path / "metrics.csv").write_text(table)
    assert "<h2>Training</h2>" not in written(tmp_path, result, PALETTE)[0]


def test_long_curves_are_averaged(tmp_path, result):
    rows = "".join(f"{i},{i % 2}\n" for i in range(6000))
    (tmp_path / "metrics.csv").write_text("step,train_loss\n" + rows)
    text, page = written(tmp_path, result, PALETTE)
    (line,) = [attrs["d"] for attrs in page.all("path") if attrs["class"].startswith("line")]
    assert line.count("L") < 500
    assert "train loss ends at 0.5" in text


@pytest.mark.parametrize("points", [[(0, 0.0)], [(3, 1e-5), (9, 2e-5)], [(0, -4.0), (1, 1e6)]])
def test_a_curve_stays_between_its_axes(points):
    page = Page(line_chart("t", {"a": points}, "step"))
    (line,) = [attrs["d"] for attrs in page.all("path") if attrs["class"].startswith("line")]
    _, _, width, height = map(float, page.all("svg")[0]["viewbox"].split())
    places = [tuple(map(float, place.split())) for place in line[1:].split("L")]
    assert len(places) == len(points)
    assert all(0 <= x <= width and 0 <= y <= height for x, y in places)
    assert [x for x, _ in places] == sorted(x for x, _ in places)


def test_many_classes_list_the_largest_confusions_alone(tmp_path):
    count = LARGEST_TABLE + 1
    names = [f"class {i}" for i in range(count)]
    confusion = np.eye(count, dtype=int) * 3
    confusion[4, 7] = 9
    text, page = written(tmp_path, metrics(confusion, names, images=1), [(i, i, i) for i in range(count)])
    assert len(page.all("table")) == 1
    assert "<b>75.0%</b> of class 4 is labelled class 7" in text


def test_six_noisy_photographs_fit_into_a_megabyte_and_a_half(tmp_path, result):
    draw = np.random.default_rng(0)
    image = draw.integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    labels = np.kron(draw.integers(0, 3, (72, 128)), np.ones((10, 10))).astype(np.uint8)
    example = Comparison("noise", image, labels, labels, 1.0)
    write_report(tmp_path, result, PALETTE, [example] * 3, [example] * 3)
    assert (tmp_path / "report.html").stat().st_size < 1_500_000


def folder_of_data(root: Path, paint) -> Path:
    draw = torch.Generator().manual_seed(1)
    for split in ("train", "test"):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for i in range(3):
            labels = torch.randint(0, 3, (6, 5 + i), generator=draw)
            Image.fromarray(paint(labels).permute(1, 2, 0).numpy()).save(root / f"images/{split}/{i}.png")
            Image.fromarray(labels.numpy().astype(np.uint8)).save(root / f"masks/{split}/{i}.png")
    return root


def test_evaluate_and_report_writes_both_files(tmp_path, colour_net, paint):
    data = open_data(folder_of_data(tmp_path / "data", paint))
    colour_net.classes, colour_net.palette = data.classes, data.palette
    run = tmp_path / "my run"
    result = evaluate_and_report(colour_net, data, "test", run, run / "evaluation.json")
    assert (result["mean_iou"], result["images"], result["split"]) == (1.0, 3, "test")
    assert json.loads((run / "evaluation.json").read_text()) == result
    assert result["mean_iou_interval"] == [1.0, 1.0]
    table = (run / "evaluation-images.csv").read_text().splitlines()
    assert (len(table), table[1]) == (4, "images/test/0.png" + ",1" * 8)
    text = (run / "report.html").read_text()
    assert "95% interval 100.0–100.0%" in text
    assert "images/test/0.png" in text
    assert "fullyconv evaluate RUN --data" in text


def test_evaluate_and_report_writes_nothing_unasked(tmp_path, colour_net, paint, monkeypatch):
    data = open_data(folder_of_data(tmp_path / "data", paint))
    colour_net.classes, colour_net.palette = data.classes, data.palette
    before = sorted(tmp_path.rglob("*"))
    evaluate_and_report(colour_net, data, "test")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("classes", "differs"),
    [
        (["red", "green", "blue", "pink"], "4 classes, not 3; pink new"),
        (["red", "green", "pink"], "pink new; blue missing"),
    ],
)
def test_other_classes_than_the_networks_are_refused(colour_net, classes, differs):
    colour_net.classes = ["red", "green", "blue"]
    with pytest.raises(DataError, match=f"not those of the network: {differs}"):
        evaluate_and_report(colour_net, Data(Path("d"), "folders", classes, [], MaskCode(len(classes)), {}), "test")


@pytest.mark.parametrize("classes", [["blue", "red", "green"], ["blue", "red"]])
def test_classes_are_matched_by_name_and_may_be_some_of_the_networks(tmp_path, colour_net, paint, classes):
    """Masks count as the data do; the network is right everywhere but in one pixel that it calls green."""
    root, numbers = tmp_path / "data", [("red", "green", "blue").index(name) for name in classes]
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    own = torch.randint(0, len(classes), (6, 8), generator=torch.Generator().manual_seed(0))
    seen = torch.tensor(numbers)[own]
    own[0, 0], seen[0, 0] = classes.index("red"), 1
    Image.fromarray(paint(seen).permute(1, 2, 0).numpy()).save(root / "images" / "0.png")
    Image.fromarray(own.numpy().astype(np.uint8)).save(root / "masks" / "0.png")
    (root / "dataset.yaml").write_text(f"classes: {classes}\nsplits: {{test: {{images: images, masks: masks}}}}\n")
    data = open_data(root)
    measured = measure(colour_net, data, "test")
    right = {name: int((seen == index).sum()) for index, name in enumerate(colour_net.classes)}
    rows = {row["name"]: row for row in measured.result["per_class"]}
    assert [row["name"] for row in measured.result["per_class"]] == [*colour_net.classes]
    assert rows["blue"]["iou"] == 1
    assert rows["red"]["iou"] == right["red"] / (right["red"] + 1)
    if "green" in classes:
        assert rows["green"]["iou"] == (right["green"] - 1) / right["green"]
        assert lacking(data, colour_net) == []
    else:
        assert rows["green"]["iou"] == 0
        assert lacking(data, colour_net) == ["green"]
        assert measured.result["mean_iou"] == pytest.approx((1 + rows["red"]["iou"]) / 2)


def test_no_measurement_overwrites_that_of_other_images(tmp_path, paint):
    root = folder_of_data(tmp_path / "photos", paint)
    data, run = open_data(root), tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(f"data: {{path: '{root}'}}\n", encoding="utf-8")
    assert places(run, data, root, "train") == (run / "evaluation.json", run / "report.html")
    assert places(run, data, root, "test") == (run / "evaluation-test.json", run / "report-test.html")
    other = tmp_path / "new streets"
    root.rename(other)
    assert places(run, open_data(other), other, "train")[1] == run / "report-new_streets-train.html"


@pytest.mark.parametrize("config", [None, "", "data: 3", "data: {path: [", "- a"])
def test_a_run_that_does_not_say_what_it_was_trained_on_has_no_data_of_its_own(tmp_path, paint, config):
    data = open_data(folder_of_data(tmp_path / "photos", paint))
    if config is not None:
        (tmp_path / "config.yaml").write_text(config, encoding="utf-8")
    assert places(tmp_path, data, tmp_path / "photos", "test")[0] == tmp_path / "evaluation-photos-test.json"


def test_a_descriptor_stands_for_its_folder(tmp_path, paint):
    root = folder_of_data(tmp_path / "photos", paint)
    (root / "dataset.yaml").write_text(
        "classes: [a, b, c]\nsplits: {val: {images: images/test, masks: masks/test}}\n", encoding="utf-8"
    )
    (tmp_path / "config.yaml").write_text(f"data: {{path: '{root}'}}\n", encoding="utf-8")
    data = open_data(root / "dataset.yaml")
    assert places(tmp_path, data, root / "dataset.yaml", "val")[1] == tmp_path / "report.html"


def test_images_that_lie_elsewhere_are_named_without_their_folders(tmp_path, colour_net, paint):
    """The page is for others to read; where files lie on this machine is not."""
    elsewhere = folder_of_data(tmp_path / "data", paint)
    photos, labels = elsewhere / "images" / "test", elsewhere / "masks" / "test"
    (tmp_path / "about").mkdir()
    (tmp_path / "about" / "dataset.yaml").write_text(
        f"classes: [red, green, blue]\nsplits: {{val: {{images: '{photos}', masks: '{labels}'}}}}\n", encoding="utf-8"
    )
    data = open_data(tmp_path / "about")
    colour_net.palette = data.palette
    evaluate_and_report(colour_net, data, "val", tmp_path / "run")
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<b>0.png</b>" in text
    assert str(photos) not in text
    assert "of the split “val” of about" in text


def test_one_class_has_a_report(tmp_path, example):
    example.truth[:], example.prediction[:] = 0, 0
    text, _ = written(tmp_path, metrics([[7]], ["sky"], images=1), PALETTE[:1], [example], [])
    assert "1 image, 1 class" in text


def test_names_in_the_report_are_text_whatever_they_hold(tmp_path, example):
    """No element and no attribute comes of a class, file, column, option or folder."""
    hostile = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&lt;b>$style${title}]]>-->"

    def page(name):
        (tmp_path / "metrics.csv").write_text(f'step,"loss {name.replace(chr(34), chr(34) * 2)}"\n0,1\n1,2\n')
        (tmp_path / "config.yaml").write_text(f"model: {name}</pre></style>\n")
        classes = [name, f"{name} 2", f"{name} 3"]
        own = metrics([[6, 2, 0], [0, 9, 1], [0, 0, 0]], classes, images=2, split=name)
        both = own | {"heads": {"first": own, name: own}}
        compared = replace(example, name=name)
        options = {"command": name, "title": name, "data": name}
        return written(tmp_path, both, PALETTE * 2, [compared], [compared], **options)

    text, hostile_page = page(hostile)
    harmless = page("name")[1]
    assert [tag for tag, _ in hostile_page.tags] == [tag for tag, _ in harmless.tags]
    assert [attrs.keys() for _, attrs in hostile_page.tags] == [attrs.keys() for _, attrs in harmless.tags]
    assert "<script" not in text
    assert hostile_page.all("img")[0]["alt"] == f"Image of {hostile}"
