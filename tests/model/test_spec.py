"""A description from a stranger's file is checked field by field before anything is built from it."""

import json

import pytest
from pydantic import ValidationError

from fullyconv.errors import ConfigError, WeightsError
from fullyconv.model.backbones.release import trunk_of
from fullyconv.model.fcn import build, create, from_spec
from fullyconv.model.spec import MAX_TEXT, ExportSpec, ModelSpec, parsed

WHOLE = {
    "name": "fcn8s-test_resnet",
    "classes": ["sky", "road"],
    "palette": [[0, 0, 0], [255, 255, 255]],
    "in_channels": 3,
    "width": None,
    "upsample": "bilinear",
    "dropout": None,
    "padding": None,
    "mean": [1.0, 2, 3.5],
    "heads": None,
}


def test_a_description_is_what_it_was_written_from():
    net = build("fcn8s-test_resnet", ["sky", "road"], width=8, upsample="transposed", mean=[1, 2, 3], dropout=0.5)
    assert parsed(ModelSpec, net.spec.model_dump_json(), "here") == net.spec
    assert from_spec(net.spec).spec == build(**dict(net.spec)).spec == net.spec


def test_a_description_of_an_earlier_version_is_read():
    assert parsed(ModelSpec, json.dumps(WHOLE), "here").palette == [(0, 0, 0), (255, 255, 255)]


@pytest.mark.parametrize(
    ("name", "channels", "inputs"),
    [
        ("fcn32s-vgg16", 3, "image"),
        ("fcn32s-vgg16", 4, "rgb+depth"),
        ("fcn8s-atonce-vgg16", 4, "rgb+depth"),
        ("fcn32s-latefusion-vgg16", 6, "rgb+hha"),
        ("fcn8s-resnet18", 4, "image"),
    ],
)
def test_descriptions_that_do_not_say_what_the_channels_are_follow_the_rule_of_their_time(name, channels, inputs):
    older = {**WHOLE, "name": name, "in_channels": channels, "mean": None}
    assert parsed(ModelSpec, json.dumps(older), "here").inputs == inputs
    assert parsed(ModelSpec, json.dumps(older | {"inputs": "image"}), "here").inputs == "image"


def test_older_exports_of_four_floats_take_depth():
    about = {key: WHOLE[key] for key in ("name", "classes", "palette", "heads")} | {"probabilities": False}
    for dtype, inputs in (("float32", "rgb+depth"), ("uint8", "image")):
        older = json.dumps(about | {"in_channels": 4, "dtype": dtype})
        assert parsed(ExportSpec, older, "here").inputs == inputs


@pytest.mark.parametrize(
    ("name", "trunk"),
    [
        ("fcn32s-vgg16", "vgg16"),
        ("fcn8s-atonce-vgg16", "atonce-vgg16"),
        ("fcn32s-latefusion-vgg16", "latefusion-vgg16"),
        ("fcn32s-alexnet", "alexnet"),
        ("fcn8s-vgg16.tv_in1k", None),
        ("fcn32s-my-alexnet", None),
        ("fcn32s-latefusion-vgg16-twice", None),
        ("other-vgg16", None),
        ("vgg16", None),
    ],
)
def test_a_trunk_of_the_papers_is_told_by_its_whole_name(name, trunk):
    assert trunk_of(name) == trunk


def test_three_channels_with_the_mean_of_hha_were_hha():
    older = {key: WHOLE[key] for key in ("name", "classes", "palette", "heads")} | {"in_channels": 3}
    for mean, inputs in (([132.431, 94.076, 118.477], "hha"), ([92.318, 97.203, 116.190], "image"), (None, "image")):
        said = json.dumps(older | {"name": "fcn32s-vgg16", "mean": mean})
        assert parsed(ModelSpec, said, "here").inputs == inputs


def test_bands_of_ones_own_are_no_depth_to_the_papers_networks():
    """Red, green, blue and near infrared: neither the kind nor the mean of depths."""
    net = build("fcn32s-alexnet", ["a", "b"], in_channels=4)
    assert net.inputs == "image"
    assert net.mean.flatten()[3] > 100
    deep = build("fcn8s-test_resnet", ["a", "b"], in_channels=4, inputs="rgb+depth")
    assert deep.inputs == "rgb+depth"
    assert deep.mean.flatten()[3].item() == pytest.approx(7.844)
    assert deep.std.flatten()[3].item() == 1


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("pretrained", True, "pretrained is an unknown field"),
        ("name", 7, r"name: text is expected .*found '7'"),
        ("name", None, "name: text is expected"),
        ("name", "", "name: "),
        ("classes", "sky", "classes: a list is expected"),
        ("classes", [], "classes: "),
        ("classes", ["sky", 3], r"classes\.1: text is expected"),
        ("classes", ["sky", "ro\x1b[2Jad"], r"classes\.1: .*control character U\+001B"),
        ("classes", ["sky", "ro\nad"], r"classes\.1: .*control character U\+000A"),
        ("classes", ["sky", "ro\u202ead"], r"classes\.1: .*control character U\+202E"),
        ("classes", ["a"] * 300, "There are 300 classes; labels are bytes"),
        ("palette", [[0, 0, 0]], "palette has 1 colours for 2 classes"),
        ("palette", [[0, 0, 0], [0, 0, 256]], r"palette\.1\.2: .*255"),
        ("palette", [[0, 0, 0], [0, 0, -1]], r"palette\.1\.2: "),
        ("palette", [[0, 0, 0], [0, 0, 1.5]], r"palette\.1\.2: "),
        ("palette", [[0, 0, 0], [0, 0]], r"palette\.1\.2 is missing"),
        ("palette", [[0, 0, 0], "red"], r"palette\.1: "),
        ("in_channels", 0, "in_channels: "),
        ("inputs", "rgb+depth", "Inputs rgb.depth have 4 channels, but in_channels is 3"),
        ("inputs", "radar", "inputs: "),
        ("in_channels", 10**9, "in_channels: "),
        ("in_channels", "3", "in_channels: "),
        ("in_channels", True, "in_channels: "),
        ("width", 10**9, "width: .*found '1000000000'"),
        ("width", 10**400, "width: |not whole JSON"),
        ("width", 8.5, "width: "),
        ("width", [8], "width: "),
        ("upsample", "magic", "upsample: .*nearest"),
        ("dropout", 2, "dropout: "),
        ("padding", "none", "padding: .*paper"),
        ("mean", [1.0], "mean has 1 values for 3 channels"),
        ("mean", [1.0, 2.0, float("nan")], r"mean\.2: .*finite"),
        ("mean", [1.0, 2.0, float("inf")], r"mean\.2: .*finite"),
        ("heads", {"a": 1}, "heads .* have 1 classes in all, found 2 names"),
        ("heads", {"a": 3, "b": -1}, r"heads\.b: "),
        ("heads", [2], "heads: "),
        ("heads", {}, "heads: "),
    ],
)
def test_what_is_wrong_is_named_with_its_file(field, value, message):
    with pytest.raises(WeightsError, match=rf"(?s)^there/model\.json: .*{message}"):
        parsed(ModelSpec, json.dumps(WHOLE | {field: value}), "there/model.json")


@pytest.mark.parametrize("field", ["name", "classes", "palette"])
def test_what_is_missing_is_named(field):
    with pytest.raises(WeightsError, match=f"{field} is missing"):
        parsed(ModelSpec, json.dumps({key: value for key, value in WHOLE.items() if key != field}), "here")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "7", json.dumps(WHOLE)[:-1], "[" * 100_000, '{"a":' * 100_000, '{"name": "\\ud800"}'],
)
def test_broken_json_is_refused(text):
    with pytest.raises(WeightsError, match=r"^here: its description"):
        parsed(ModelSpec, text, "here")


def test_a_description_of_megabytes_is_not_parsed():
    with pytest.raises(WeightsError, match="characters"):
        parsed(ModelSpec, " " * (MAX_TEXT + 1), "here")


def test_a_labelling_has_no_more_classes_than_bytes_can_tell_apart():
    many = {"classes": ["a"] * 256, "palette": [[0, 0, 0]] * 256}
    with pytest.raises(WeightsError, match="256 classes; labels are bytes, so that 255 is the most"):
        parsed(ModelSpec, json.dumps(WHOLE | many), "here")
    with pytest.raises(ConfigError, match="300 classes; labels are bytes, so that 255 is the most"):
        create("fcn8s-test_resnet", 300)
    split = json.dumps(WHOLE | many | {"heads": {"one": 255, "two": 1}})
    assert parsed(ModelSpec, split, "here").heads == {"one": 255, "two": 1}


def test_learnt_upsampling_does_not_mix_heads():
    with pytest.raises(ConfigError, match="would mix the heads' classes"):
        build("fcn8s-test_resnet", ["a", "b"], heads={"one": 1, "two": 1}, upsample="transposed")


def test_a_description_cannot_be_changed_after_it_was_checked():
    spec = parsed(ModelSpec, json.dumps(WHOLE), "here")
    with pytest.raises(ValidationError):
        spec.width = 10**9


def test_an_export_s_description_has_its_own_fields():
    text = {key: WHOLE[key] for key in ("name", "classes", "palette", "in_channels", "heads")}
    text |= {"dtype": "uint8", "probabilities": False, "int8": False, "version": "0.1.0", "source": "runs/streets"}
    assert parsed(ExportSpec, json.dumps(text), "x.onnx").dtype == "uint8"
    with pytest.raises(WeightsError, match=r"x\.onnx: .*dtype: "):
        parsed(ExportSpec, json.dumps(text | {"dtype": "load"}), "x.onnx")
