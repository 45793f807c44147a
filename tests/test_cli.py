"""The commands as a user meets them: what they print, what they leave, and how they end."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from fullyconv import cli
from fullyconv.model.fcn import build
from fullyconv.weights import run_folder

CLASSES = ["blue", "red"]
QUICK = [
    *("--model", "fcn8s-test_resnet", "--no-pretrained", "--epochs", "1", "--set", "training.precision=32"),
    *("--set", "data.workers=0", "--set", "data.batch_size=2", "--set", "data.resolutions=[{crop: [32, 32]}]"),
]


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def scene(seed):
    """A red square on blue, 40×48 pixels, and its mask."""
    random = np.random.default_rng(seed)
    mask = np.zeros((40, 48), np.uint8)
    top, left = random.integers(0, 20, 2)
    mask[top : top + 16, left : left + 16] = 1
    return np.array([[20, 30, 200], [200, 40, 20]], np.uint8)[mask] + random.integers(
        0, 20, (40, 48, 3), np.uint8
    ), mask


@pytest.fixture
def data(tmp_path):
    root = tmp_path / "data"
    for i, split in enumerate(["train"] * 4 + ["val"] * 2 + ["test"] * 2):
        image, mask = scene(i)
        write(root / "images" / split / f"{i}.png", image)
        write(root / "masks" / split / f"{i}.png", mask)
    descriptor = {
        "classes": CLASSES,
        "splits": {s: {"images": f"images/{s}", "masks": f"masks/{s}"} for s in ("train", "val", "test")},
    }
    (root / "dataset.yaml").write_text(json.dumps(descriptor))  # JSON is YAML
    return root


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    run_folder.save(build("fcn8s-test_resnet", CLASSES), tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def fullyconv(capsys, monkeypatch, tmp_path):
    """Run a command in ``tmp_path``; its exit code, what it printed, and what it said on stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fullyconv", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


def test_train_evaluate_predict(fullyconv, data, tmp_path):
    code, out, err = fullyconv("train", "--data", data, *QUICK, "--out", "run")
    assert (code, "mean IoU" in out, "step 2 " in err) == (0, True, True)
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())["split"] == "val"
    assert "<html" in (tmp_path / "run" / "report.html").read_text()

    code, out, err = fullyconv("evaluate", "run", "--data", data)
    assert (code, "2 images of test" in out) == (0, True)
    assert f"Report: {Path('run/report-test.html')}." in err
    assert json.loads((tmp_path / "run" / "evaluation-test.json").read_text())["split"] == "test"
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())["split"] == "val"

    code, _, err = fullyconv("predict", "run", data / "images" / "test", "--out", "masks", "--overlay", "--scores")
    assert (code, err.strip()) == (0, "2 masks in masks.")
    assert Image.open(tmp_path / "masks" / "6.png").size == (48, 40)
    assert (tmp_path / "masks" / "6_overlay.jpg").exists()
    assert (tmp_path / "masks" / "6_scores" / "red.png").exists()


def test_evaluate_compares_two_networks(fullyconv, data, model, tmp_path):
    torch.manual_seed(1)
    run_folder.save(build("fcn8s-test_resnet", CLASSES), tmp_path / "other")
    code, out, _ = fullyconv("evaluate", model, "other", "--compare", "--data", data, "--out", "found.json")
    assert (code, "2 images of test" in out) == (0, True)
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["verdict"] in out
    assert found["models"] == [str(model), "other"]
    for models in ([model, "other"], [model, "--compare"]):
        code, _, err = fullyconv("evaluate", *models, "--data", data)
        assert (code, "Expected one, or two with --compare" in err) == (2, True)


def test_predict_and_evaluate_average_several_networks(fullyconv, data, model, tmp_path):
    nets = []
    for seed, name in enumerate(("a", "b", "c")):
        torch.manual_seed(seed)
        nets.append(build("fcn8s-test_resnet", CLASSES))
        for parameter in nets[-1].score.parameters():
            torch.nn.init.normal_(parameter)
        run_folder.save(nets[-1], tmp_path / name)
    others = ["--with", "b", "--with", "c"]
    assert fullyconv("predict", "a", data / "images" / "test", *others, "--out", "out", "--scores")[0] == 0
    image, _ = scene(6)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    mean = torch.stack([net.eval()(pixels).softmax(1) for net in nets]).mean(0)[0]
    assert (np.array(Image.open(tmp_path / "out" / "6.png")) == mean.argmax(0).numpy()).mean() > 0.999
    heat = np.array(Image.open(tmp_path / "out" / "6_scores" / "red.png"))
    assert np.abs(heat - 255 * mean[1].detach().numpy()).max() < 1
    code, out, _ = fullyconv("evaluate", "a", *others, "--data", data, "--out", "found.json")
    assert (code, "2 images of test" in out, (tmp_path / "found.json").exists()) == (0, True, True)
    assert not list((tmp_path / "a").glob("evaluation*"))
    code, _, err = fullyconv("evaluate", "a", "b", "--compare", "--with", "c", "--data", data)
    assert (code, "--with cannot be had with --compare" in err) == (2, True)
    run_folder.save(build("fcn8s-test_resnet", ["blue", "green"]), tmp_path / "d")
    code, _, err = fullyconv("predict", "a", data / "images" / "test", "--with", "d", "--out", "out2")
    assert (code, "d cannot be averaged with a: green new; red missing" in err) == (2, True)
    assert not (tmp_path / "out2").exists()


def test_a_run_is_repeated_from_its_own_configuration(fullyconv, data):
    assert fullyconv("train", "--data", data, *QUICK, "--out", "one")[0] == 0
    assert fullyconv("train", "--recipe", "one/config.yaml", "--out", "two")[0] == 0


def test_a_run_that_could_not_start_leaves_the_folder_free(fullyconv, data):
    code, _, err = fullyconv("train", "--data", data, "--model", "fcn8s-smallvgg", "--out", "run")
    assert (code, "--no-pretrained" in err) == (2, True)
    assert fullyconv("train", "--data", data, *QUICK, "--out", "run")[0] == 0


def test_epochs_go_over_a_recipes_minutes(fullyconv, data, tmp_path):
    (tmp_path / "recipe.yaml").write_text("training: {max_minutes: 600}\n")
    none = ("--set", "training.steps=none")  # is no second length
    assert fullyconv("train", "--data", data, "--recipe", "recipe.yaml", *QUICK, *none, "--out", "run")[0] == 0


def test_resume_goes_on_and_ends(fullyconv, data):
    assert fullyconv("train", "--data", data, *QUICK, "--out", "run")[0] == 0
    assert fullyconv("train", "--out", "run", "--resume")[0] == 0


def test_check_prints_frequencies_and_finds_nothing(fullyconv, data):
    code, out, err = fullyconv("data", "check", data)
    assert (code, err, "No problems." in out, "red" in out) == (0, "", True, True)


def test_one_broken_image_does_not_stop_the_others(fullyconv, model, data, tmp_path):
    broken = data / "images" / "test" / "6.png"
    broken.write_bytes(broken.read_bytes()[:100])
    code, _, err = fullyconv("predict", model, data / "images", "--out", "masks")
    assert code == 2
    assert "1 of 8 images failed; the others are done." in err
    assert "test/6.png" in err
    assert len(list((tmp_path / "masks").rglob("*.png"))) == 7


PROBLEMS = {
    "images without masks": lambda root: (root / "masks/test/7.png").unlink(),
    "masks without images": lambda root: (root / "images/test/7.png").unlink(),
    "truncated images": lambda root: (root / "images/test/7.png").write_bytes(b"\x89PNG\r\n"),
    "truncated masks": lambda root: (root / "masks/test/7.png").write_bytes(b"\x89PNG\r\n"),
    "sizes that differ": lambda root: write(root / "masks/test/7.png", np.zeros((9, 9), np.uint8)),
    "values outside the classes": lambda root: write(root / "masks/test/7.png", np.full((40, 48), 9, np.uint8)),
    "JPEG masks": lambda root: (
        (root / "masks/test/7.png").unlink(),
        write(root / "masks/test/7.jpg", scene(7)[1]),
    ),
    "EXIF rotation": lambda root: _rotate(root / "images/test/7.png"),
    "colours that are not in the palette": lambda root: _colour(root),
}


def _rotate(path):
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path, exif=exif)


def _colour(root):
    for path in (root / "masks").rglob("*.png"):
        write(path, np.array([[0, 0, 0], [200, 0, 0]], np.uint8)[np.asarray(Image.open(path))])
    write(root / "masks/test/7.png", np.full((40, 48, 3), 77, np.uint8))
    tree = json.loads((root / "dataset.yaml").read_text()) | {"palette": [[0, 0, 0], [200, 0, 0]]}
    (root / "dataset.yaml").write_text(json.dumps(tree))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_check_train_and_evaluate_refuse_the_same_data_in_the_same_words(fullyconv, data, model, problem):
    PROBLEMS[problem](data)
    code, _, found = fullyconv("data", "check", data)
    assert code == 2
    assert "Traceback" not in found
    trained, _, said = fullyconv("train", "--data", data, *QUICK, "--out", "run")
    assert trained == 2
    assert set(found.strip().splitlines()) <= set(said.partition("fullyconv: ")[2].strip().splitlines())
    assert fullyconv("evaluate", model, "--data", data)[0] == 2


def test_training_and_evaluation_go_on_after_warnings_and_say_them(fullyconv, data):
    for folder in ("images", "masks"):
        shutil.copy(data / folder / "train/0.png", data / folder / "test/7.png")
    described = data / "dataset.yaml"
    described.write_text(described.read_text().replace('"red"]', '"red", "green"]'))
    code, _, found = fullyconv("data", "check", data)
    assert (code, "0 errors" in found, "2 warnings in 8 images" in found) == (0, False, True)
    code, _, found = fullyconv("data", "check", data, "--strict")
    assert (code, "2 errors" in found, "--allow absent-classes --allow duplicates" in found) == (2, True, True)
    code, _, said = fullyconv("train", "--data", data, *QUICK, "--out", "run")
    assert [line for line in said.splitlines() if line.startswith("warning")] == [
        "warning: class that never occurs (absent-classes): 'green'",
        "warning: image in more than one split (duplicates): images/train/0.png = images/test/7.png: "
        "the same pixels in train and test",
    ]
    code, out, said = fullyconv("evaluate", "run", "--data", data)
    assert (code, "warning: class that does not occur in a split" in said) == (0, True)
    assert next(line for line in out.splitlines() if line.startswith("green")).endswith("absent")


def test_an_error_that_is_allowed_stops_nothing_and_what_cannot_be_used_is_left_out(fullyconv, data, model):
    (data / "masks/test/7.png").unlink()
    _rotate(data / "images/test/6.png")
    code, _, said = fullyconv("evaluate", model, "--data", data, "--allow", "rotated")
    assert (code, "--allow missing-masks" in said) == (2, True)
    code, out, said = fullyconv("evaluate", model, "--data", data, "--allow", "rotated", "--allow", "missing-masks")
    assert (code, "1 image of test" in out, "test/7.png; left out" in said) == (0, True, True)
    code, _, said = fullyconv("evaluate", model, "--data", data, "--allow", "rotation")
    assert (code, "did you mean rotated?" in said) == (2, True)
    code, out, _ = fullyconv("data", "check", data, "--json", "--allow", "rotated")
    found = json.loads(out)
    assert (code, found["errors"], found["images"]) == (2, 1, {"train": 4, "val": 2, "test": 2})
    assert {problem["kind"]: (problem["severity"], problem["files"]) for problem in found["problems"]} == {
        "missing-masks": ("error", ["images/test/7.png"]),
        "rotated": ("warning", ["images/test/6.png"]),
    }
    assert found["frequencies"]["train"]["images"] == {"blue": 4, "red": 4}


def test_boundaries_calibration_and_thresholds_are_measured_where_asked_for(fullyconv, data, model):
    (data / "areas").mkdir()
    for name in ("6", "7"):
        write(data / "areas" / f"{name}_fov.png", np.eye(40, 48, dtype=np.uint8) * 255)
    further = ("--boundary", "--boundary-width", "3", "--calibration", "--threshold-curve", "--valid", data / "areas")
    code, out, said = fullyconv("evaluate", model, "--data", data, *further)
    assert (code, "with --split val --threshold-curve first" in said) == (0, True)
    for heading in ("boundaries  ", "IoU within 3 pixels", "probability of red", "(ECE)", "threshold of red"):
        assert heading in out
    measured = json.loads((model / "evaluation-data-test.json").read_text())
    assert sum(row["pixels"] for row in measured["calibration"]["bins"]) == 2 * 40
    code, _, said = fullyconv("evaluate", model, model, "--compare", "--data", data, "--calibration")
    assert (code, "--calibration cannot be had with --compare" in said) == (2, True)


def test_images_that_show_some_of_the_classes_alone_are_measured_with_the_networks(fullyconv, tmp_path, data):
    run_folder.save(build("fcn8s-test_resnet", ["a", "b", "c"]), tmp_path / "wide")
    (data / "dataset.yaml").unlink()
    code, out, _ = fullyconv("evaluate", "wide", "--data", data)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[-4:]] == ["a", "b", "c", "mean"]
    assert "absent" in out.splitlines()[-2]


def test_images_without_any_class_are_not_measured(fullyconv, data, model):
    described = data / "dataset.yaml"
    described.write_text(described.read_text().replace('"classes"', '"ignore_index": 255, "classes"'))
    for path in (data / "masks/test").iterdir():
        write(path, np.full((40, 48), 255, np.uint8))
    for options in ((), ("--allow", "unlabelled")):
        code, out, said = fullyconv("evaluate", model, "--data", data, *options)
        assert (code, out, "split in which no pixel has a class" in said) == (2, "", True)


REFUSED = [
    ("train", "--data is missing"),
    ("train --data nowhere", "nowhere"),
    ("train --data {data} --model unet-resnet18", "Unknown network 'unet-resnet18'"),
    ("train --data {data} --model fcn8s-resnet81 --no-pretrained", "Did you mean"),
    ("train --data {data} --model fcn8s-smallvgg", "--no-pretrained"),
    ("train --data {data} --recipe nowhere.yaml", "nowhere.yaml: no such file"),
    ("train --data {data} --set optimiser.lr=1", "Did you mean optimizer?"),
    ("train --data {data} --set optimizer.lr", "expected KEY=VALUE"),
    ("train --data {data} --set optimizer.lr=fast", "optimizer.lr"),
    ("train --data {data} --epochs 0", "training.epochs"),
    ("train --data {data} --epochs many", "--epochs"),
    ("train --data {data} --epochs 3 --max-minutes 3", "give one of them"),
    ("train --data {data} --max-minutes 0", "training.max_minutes"),
    ("train --data {data} --freeze head", "training.freeze"),
    ("train --data {data} --init nowhere --no-pretrained", "nowhere: no such file"),
    ("train --data {data} --model fcn8s-smallvgg --no-pretrained --out {model}/model.json/x", "model.json"),
    ("train --resume --out nowhere", "nowhere holds no run"),
    ("train --colour red", "--colour"),
    ("evaluate nowhere --data {data}", "nowhere: no such file"),
    ("evaluate {data}/dataset.yaml --data {data}", "is no safetensors file, or is damaged"),
    ("evaluate {model} --data nowhere", "nowhere: does not exist"),
    ("evaluate {model} --data {data} --split holdout", "has no split 'holdout'; its splits are train, val, test"),
    ("evaluate {model}", "--data"),
    ("evaluate {model} --data {data} --layout tarball", "layout is 'tarball'"),
    ("predict {model} nowhere.jpg --out masks", "nowhere.jpg"),
    ("predict {model} {data}/images", "--out"),
    ("predict {model} {data}/images --out masks --scales 1,two", "--scales 1,two"),
    (
        "predict {model} {data}/images --out masks --scales 0",
        "scales are [0.0]; one or more numbers above 0 are expected",
    ),
    ("predict nowhere {data}/images --out masks", "nowhere: no such file"),
    ("data check nowhere", "nowhere: does not exist"),
    ("data check {data} --layout voc", "JPEGImages"),
    ("data show nowhere --out x.png", "nowhere: does not exist"),
    ("data make {data}", "not an empty folder"),
    ("data make new --train 0", "--train"),
    ("demo --out {data}", "not an earlier demo"),
    ("segment", "No such command"),
]


@pytest.mark.parametrize(("command", "message"), REFUSED, ids=[command for command, _ in REFUSED])
def test_a_users_mistake_ends_with_one_message(fullyconv, data, model, command, message):
    code, _, err = fullyconv(*command.format(data=data, model=model).split())
    assert code == 2
    assert message in err
    assert "Traceback" not in err


ACTING = "\x1b]0;owned\x07\x1b[2J\u202e\r\nfullyconv: all is well"
NAMED = [
    (["train", "--data", "{data}", "--recipe", "keys.yaml"], "Unknown setting"),
    (["train", "--data", "{data}", "--set", f"{ACTING}=1"], "Unknown setting"),
    (["train", "--data", "{data}", "--model", f"fcn8s-{ACTING}"], "fcn8s-"),
    (["data", "check", "keys"], "is not a known key"),
    (["data", "check", "names"], "no mask was found for this"),
    (["data", "check", ACTING], "does not exist; expected"),
    (["data", "check", "empty"], "no data set found"),
    (["predict", "{model}", "names", "--out", "masks"], "1 of 2 images failed"),
    (["predict", "{model}", "names", "--out", "masks", "--head", ACTING], "--head"),
    (["predict", "{model}", "names", "--out", "masks", f"--{ACTING}"], "No such option"),
    (["predict", "more.safetensors", "names", "--out", "masks"], "is no part of"),
    (["inspect", "fcn8s-smallvgg", "--size", ACTING], "is not a size"),
]


@pytest.mark.parametrize(("command", "message"), NAMED, ids=[f"{' '.join(c[:2])} {m}" for c, m in NAMED])
def test_names_of_strangers_do_not_act_in_the_terminal(fullyconv, data, model, tmp_path, command, message):
    """Nor do line breaks in them make lines that look like ours."""
    (tmp_path / "keys").mkdir()
    for name in ("keys.yaml", "keys/dataset.yaml"):
        (tmp_path / name).write_text(json.dumps({ACTING: 1}))
    for name in ("images", "masks"):
        (tmp_path / "names" / name).mkdir(parents=True)
    (tmp_path / "names/images/0.png").symlink_to(ACTING)
    write(tmp_path / "names/masks" / f"{ACTING}.png", scene(0)[1])
    (tmp_path / "empty" / ACTING).mkdir(parents=True)
    tensors, spec = load_file(model / "model.safetensors"), (model / "model.json").read_text()
    save_file(tensors | {ACTING: torch.ones(1)}, tmp_path / "more.safetensors", {"fullyconv": spec})
    code, out, err = fullyconv(*(part.format(data=data, model=model) for part in command))
    assert (code, message in err) == (2, True)
    assert (out + err).replace("\n", "").isprintable()
    assert not [line for line in (out + err).splitlines() if line.startswith("fullyconv: all is well")]


def test_what_is_warned_or_logged_and_a_bug_do_not_act_either():
    program = f"""
import logging, sys, warnings
import fullyconv.data
from fullyconv import cli

def broken(*_):
    warnings.warn({ACTING!r})
    logging.getLogger("some.library").warning({ACTING!r})
    raise KeyError({ACTING!r}) from OSError({ACTING!r})

fullyconv.data.open_data = broken
sys.argv = ["fullyconv", "data", "check", "data"]
cli.main()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, True)
    assert ended.stderr.count("owned") >= 4
    assert ended.stderr.replace("\n", "").isprintable()


def test_what_decoders_remark_without_a_files_name_is_not_printed(tmp_path):
    """Of a TIFF that breaks off Pillow warns and tifffile logs; the error alone has the name."""
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "cut.tif", np.zeros((64, 64, 3), np.uint16), photometric="rgb")
    content = (tmp_path / "cut.tif").read_bytes()
    directory = int.from_bytes(content[4:8], "little")
    (tmp_path / "cut.tif").write_bytes(content[: directory + 50])
    program = f"""
import sys
from fullyconv import cli
from fullyconv.data.images.read import read_pixels
import fullyconv.data
fullyconv.data.open_data = lambda *_: read_pixels({str(tmp_path / "cut.tif")!r})
sys.argv = ["fullyconv", "data", "check", "data"]
cli.main()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 2
    assert [line.partition(":")[0] for line in ended.stderr.splitlines()] == ["fullyconv"]


def test_a_run_is_not_overwritten_and_not_reconfigured(fullyconv, data):
    fullyconv("train", "--data", data, *QUICK, "--out", "run")
    code, _, err = fullyconv("train", "--data", data, *QUICK, "--out", "run")
    assert (code, "run holds a run already" in err) == (2, True)
    code, _, err = fullyconv("train", "--out", "run", "--resume", "--freeze", "backbone", "--set", "data.flip=0")
    assert (code, "leave out data.flip, training.freeze. What may change: --data, the length" in err) == (2, True)


def test_a_run_that_is_over_is_made_longer_as_its_message_says(fullyconv, data):
    fullyconv("train", "--data", data, *QUICK, "--out", "run")
    code, _, err = fullyconv("train", "--out", "run", "--resume")
    assert (code, "reached its length (2 steps" in err, "--resume with more --steps" in err) == (0, True, True)
    code, _, err = fullyconv("train", "--out", "run", "--resume", "--steps", "5", "--set", "data.workers=1")
    assert (code, "step 5" in err) == (0, True)
    settings = yaml.safe_load((data.parent / "run" / "config.yaml").read_text())
    assert (settings["training"]["steps"], settings["data"]["workers"]) == (5, 1)
    code, _, err = fullyconv("train", "--out", "run", "--resume", "--epochs", "3", "--steps", "9")
    assert (code, "give one of them" in err) == (2, True)


def test_ctrl_c_says_how_to_go_on(fullyconv, data, monkeypatch):
    from fullyconv.training import stages

    def press(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "train", press)
    code, _, err = fullyconv("train", "--data", data, *QUICK, "--out", "my run")
    assert (code, err.splitlines()[-1]) == (130, "Stopped. To go on: fullyconv train --resume --out 'my run'")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is a folder that nobody can write to")
def test_a_file_that_cannot_be_written_is_named(fullyconv, model, data):
    code, _, err = fullyconv("evaluate", model, "--data", data, "--out", "/proc/found.json")
    assert (code, err) == (2, "fullyconv: /proc/found.json: No such file or directory.\n")


def test_other_classes_than_the_networks_are_refused(fullyconv, data, tmp_path):
    run_folder.save(build("fcn8s-test_resnet", ["a", "b", "c"]), tmp_path / "other")
    code, _, err = fullyconv("evaluate", "other", "--data", data)
    assert (code, "2 classes, not 3; blue, red new; a, b, c missing" in err) == (2, True)


def test_debug_shows_the_traceback(data, tmp_path):
    command = [sys.executable, "-m", "fullyconv", "data", "check", "nowhere", "--debug"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "DataError: nowhere" in ended.stderr


@pytest.mark.parametrize("code", ["import fullyconv", "import fullyconv.cli", "import fullyconv.training.config"])
def test_help_needs_no_torch(code):
    check = f"{code}; import sys; assert 'torch' not in sys.modules, 'torch was imported'"
    subprocess.run([sys.executable, "-c", check], check=True)


def commands(group, *above):
    """Every command of a group and of the groups in it, with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *above, name)
        else:
            yield (*above, name), command


COMMANDS = dict(commands(typer.main.get_command(cli.app)))


def test_the_commands_are_these():
    words = "demo, train, evaluate, predict, inspect, convert, export, push, bench, bench-patchwise"
    data = [("data", name) for name in ("make", "download", "check", "split", "show", "convert")]
    assert set(COMMANDS) == {(word,) for word in words.split(", ")} | set(data)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_says_what_a_command_and_each_option_does(fullyconv, words):
    command = COMMANDS[words]
    code, out, _ = fullyconv(*words, "--help")
    assert code == 0
    assert command.help.splitlines()[0].endswith(".")
    for line in command.help.splitlines():
        assert all(word in out for word in line.split())
    for option in command.params:
        assert option.help, option.name
        assert option.opts[0] in out or (option.metavar or option.name) in out


def test_data_show_draws_samples_as_training_augments_them(fullyconv, data, tmp_path):
    settings = ("--set", "data.resolutions=[{crop: [32, 32]}]", "--set", "data.augment={preset: aerial, rotate: 15}")
    code, _, err = fullyconv("data", "show", data, "--augmented", "--out", "samples.png", *settings)
    assert (code, err) == (0, "samples.png\n")
    assert (tmp_path / "samples.png").is_file()
    code, _, err = fullyconv("data", "show", data, "--out", "others.png", *settings)
    assert (code, "--recipe and --set are settings of --augmented" in err) == (2, True)
    code, _, err = fullyconv("data", "show", data, "--augmented", "--out", "others.png", "--set", "data.augment=hills")
    assert (code, "data.augment.preset: input should be 'default', 'street'" in err) == (2, True)
    assert not (tmp_path / "others.png").exists()
