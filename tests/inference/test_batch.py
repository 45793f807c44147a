import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fullyconv.cli.use import report_failures
from fullyconv.data import open_data
from fullyconv.data.images.files import READ
from fullyconv.data.images.pictures import FORMATS
from fullyconv.errors import ConfigError, DataError
from fullyconv.inference import batch, predictor
from fullyconv.inference.batch import predict_files, targets_of
from fullyconv.inference.gather import gather
from fullyconv.inference.predictor import Predictor
from fullyconv.results.benchmarks import values_of


def image(path: Path, seed: int = 0, size: tuple[int, int] = (6, 9)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def targets(inputs: Sequence[str | Path], out: Path) -> dict[Path, Path]:
    return targets_of(gather(inputs, out).images, out)


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def photos(tmp_path) -> Path:
    for i, name in enumerate(["a.png", "b.bmp", "day/c.png", "day/night/a.tif"]):
        image(tmp_path / "photos" / name, i, (5 + i, 9 - i))
    (tmp_path / "photos" / "notes.txt").write_text("not an image")
    image(tmp_path / "photos" / ".thumbnails" / "a.png")
    return tmp_path / "photos"


def test_a_folder_keeps_its_shape_and_each_mask_is_its_images(colour_net, photos, tmp_path):
    out = tmp_path / "out"
    done, failed = predict_files(Predictor(colour_net), [photos], out)
    assert files(out) == ["a.png", "b.png", "day/c.png", "day/night/a.png"]
    assert not failed
    assert len(done) == 4
    for source in done:
        labels = np.asarray(Image.open((out / source.relative_to(photos)).with_suffix(".png")))
        assert np.array_equal(labels, np.asarray(Image.open(source)).argmax(2))


def test_overlays_and_heat_maps_lie_beside_the_mask(make_net, photos, tmp_path):
    net = make_net(("sky/cloud", "50%", "tree"))
    predict_files(Predictor(net), [photos / "day"], tmp_path / "out", overlay=True, scores=True)
    assert files(tmp_path / "out") == [
        "c.png",
        "c_overlay.jpg",
        "c_scores/50%25.png",
        "c_scores/sky%2Fcloud.png",
        "c_scores/tree.png",
        "night/a.png",
        "night/a_overlay.jpg",
        "night/a_scores/50%25.png",
        "night/a_scores/sky%2Fcloud.png",
        "night/a_scores/tree.png",
    ]
    pixels = np.asarray(Image.open(photos / "day/c.png")).astype(float) + 1
    heat = np.asarray(Image.open(tmp_path / "out/c_scores/tree.png"))
    assert np.abs(heat - 255 * pixels[..., 2] / pixels.sum(2)).max() <= 0.51


def test_broken_images_are_reported_and_the_rest_is_done(colour_net, photos, tmp_path):
    (photos / "aa.png").write_bytes((photos / "a.png").read_bytes()[:50])
    (photos / "day" / "empty.jpg").write_bytes(b"")
    steps = []
    done, failed = predict_files(
        Predictor(colour_net), [photos], tmp_path / "out", progress=lambda *at: steps.append(at)
    )
    assert files(tmp_path / "out") == ["a.png", "b.png", "day/c.png", "day/night/a.png"]
    assert len(done) == 4
    assert [path for path, _ in failed] == [photos / "aa.png", photos / "day" / "empty.jpg"]
    assert all(str(path) in str(error) for path, error in failed)
    assert steps == [(i, 6) for i in range(1, 7)]


@pytest.mark.parametrize(
    "content",
    [
        b"II\x2b\0\x08\0\0\0\x10\0\0",
        b"II\x2b\0\x08\0\0\0" + b"\xff" * 8,
        b"II\x2a\0\x08\0\0\0\x01\0\0\x01\x04\0\x02\0\0\0\0\0",
    ],
    ids=["its head is cut", "its directory is at no place", "its width is two numbers"],
)
def test_a_damaged_tiff_ends_no_other_images_labelling(colour_net, photos, tmp_path, content):
    (photos / "b.tif").write_bytes(content)
    done, failed = predict_files(Predictor(colour_net, device="cpu"), [photos / "b.tif", photos / "a.png"], tmp_path)
    assert done == [photos / "a.png"]
    ((path, error),) = failed
    assert path == photos / "b.tif"
    assert isinstance(error, DataError)


def test_what_has_an_images_name_and_is_none_is_reported_by_name(colour_net, photos, tmp_path):
    """A link that leads nowhere or to itself, and a pipe, in folders, by their names and in patterns."""
    (photos / "lost.png").symlink_to(tmp_path / "unmounted" / "a.png")
    (photos / "day" / "lost.tif").symlink_to("away.tif")
    (photos / "turning.jpg").symlink_to("turning.jpg")
    pipes = [photos / "day" / "pipe.tif"] if hasattr(os, "mkfifo") else []
    for pipe in pipes:
        os.mkfifo(pipe)
    lost = [photos / "lost.png", photos / "day" / "lost.tif", photos / "turning.jpg", *pipes]
    for given in ([photos], [photos / "*"], [photos, photos / "lost.png"]):
        done, failed = predict_files(Predictor(colour_net), given, tmp_path / "out")
        assert len(done) == 4
        assert sorted(path for path, _ in failed) == sorted(lost)
        reasons = {path: str(error) for path, error in failed}
        assert reasons[lost[0]] == f"{lost[0]}: is a link to {tmp_path / 'unmounted' / 'a.png'}, which is not there"
        assert all("not a file" in reasons[pipe] for pipe in pipes)
    with pytest.raises(SystemExit) as ended:
        report_failures(done, failed)
    assert ended.value.code == 2


def test_folders_that_links_name_are_searched_and_nothing_is_labelled_twice(photos, tmp_path):
    image(tmp_path / "elsewhere" / "x.png")
    (tmp_path / "elsewhere" / "back").symlink_to(photos)
    (photos / "more").symlink_to(tmp_path / "elsewhere")
    (photos / "a first name").symlink_to("day")
    (photos / ".hidden").symlink_to(tmp_path / "elsewhere")
    found = places(targets([photos], tmp_path / "out"), tmp_path)
    assert sorted(found) == [
        f"photos/{name}" for name in ("a.png", "b.bmp", "day/c.png", "day/night/a.tif", "more/x.png")
    ]


def test_a_folder_that_cannot_be_listed_is_not_passed_over(colour_net, photos, tmp_path, monkeypatch, capsys):
    listed = Path.iterdir

    def refused(self):
        if self.name == "night":
            raise PermissionError(13, "Permission denied", str(self))
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", refused)
    done, failed = predict_files(Predictor(colour_net), [photos], tmp_path / "out")
    assert (len(done), [path for path, _ in failed]) == (3, [photos / "day" / "night"])
    with pytest.raises(SystemExit):
        report_failures(done, failed)
    assert "night: " in capsys.readouterr().err
    with pytest.raises(PermissionError, match="night"):
        gather([photos / "day" / "night"], tmp_path / "out")


def test_files_that_are_no_images_are_counted_and_named(colour_net, photos, tmp_path):
    for name in ("day/doc.pdf", "day/other.pdf", "film.mp4", "README"):
        (photos / name).write_bytes(b"x")
    said = []
    predict_files(Predictor(colour_net), [photos], tmp_path / "out", say=said.append)
    (line,) = said
    assert line.startswith("5 files are left out, as their names are not those of images, such as ")
    assert all(part in line for part in ("2 with .pdf", "1 with .mp4", "1 with .txt", "1 with no ending"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_no_file_of_a_folder_ends_or_halts_the_others(colour_net, tmp_path):
    """Each that cannot be labelled is a failure of its own, in one line, whatever its name is."""
    folder = tmp_path / "in"
    good = image(folder / "good.png").read_bytes()
    image(folder / "ünï 写真.png")
    (folder / "link.png").symlink_to("good.png")
    (folder / "loop").symlink_to(folder)
    bad = {
        "text.png": b"text",
        "empty.png": b"",
        "cut.png": good[:60],
        "pdf.jpg": b"%PDF-1.4",
        "film.gif": b"\0\0\0\x18ftypmp42",
        "eps.tif": b"%!PS-Adobe-3.0 EPSF-3.0\n",
        "photo.heic": b"\0\0\0\x18ftypheic",
        "scan.dcm": bytes(128) + b"DICM",
        "new\nline.png": b"",
    }
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    (folder / "huge.png").write_bytes(good[:16] + b"\x7f\xff\xff\xff" * 2 + good[24:])
    (folder / "self.png").symlink_to(folder / "self.png")
    (folder / "nowhere.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "pipe.tif.svs")
    (folder / "folder.png").mkdir()
    image(folder / "folder.png" / "inner.png")
    frames = [Image.new("RGB", (9, 6), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "moving.webp", save_all=True, append_images=frames[1:])
    done, failed = predict_files(Predictor(colour_net), [folder], tmp_path / "out")
    assert sorted(path.name for path in done) == ["good.png", "inner.png", "link.png", "ünï 写真.png"]
    assert len(failed) == len(bad) + 6
    for path, error in failed:
        assert isinstance(error, DataError), (path, error)
        assert len(str(error).splitlines()) == 1


def test_every_ending_that_a_decoder_in_use_has_in_pillow_is_an_images():
    Image.init()
    endings = {ending for ending, decoder in Image.registered_extensions().items() if decoder in FORMATS}
    assert endings <= READ


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("too large"), OSError("disk full"), MemoryError(), RuntimeError("no memory"), KeyError(7)],
)
def test_an_image_too_much_for_the_machine_is_reported(colour_net, photos, tmp_path, monkeypatch, error):
    predict = colour_net.predict

    def failing(images):
        if images.shape[2] == 6:  # b.bmp
            raise error
        return predict(images)

    monkeypatch.setattr(colour_net, "predict", failing)
    done, failed = predict_files(Predictor(colour_net), [photos], tmp_path / "out")
    assert failed == [(photos / "b.bmp", error)]
    assert len(done) == 3


def test_errors_that_images_do_not_cause_are_raised_once_the_rest_is_done(colour_net, photos, tmp_path, capsys):
    bug, broken = AttributeError("no_such_thing"), DataError("b.png: broken")
    with pytest.raises(AttributeError):
        report_failures([], [(photos / "b.png", broken), (photos / "a.png", bug)])
    assert "2 of 2 images failed" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        report_failures([photos / "a.png"], [(Path("b.png"), broken), (Path("c.png"), OSError("no space"))])
    assert ended.value.code == 2
    assert "2 of 3 images failed; the others are done.\n  b.png: broken\n  c.png: no space" in capsys.readouterr().err


def test_a_mask_that_cannot_be_written_whole_is_absent(colour_net, photos, tmp_path, monkeypatch):
    def full(self, content):
        self.touch()
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    done, failed = predict_files(Predictor(colour_net), [photos], tmp_path / "out")
    assert (done, len(failed)) == ([], 4)
    assert files(tmp_path / "out") == []


def test_images_are_read_ahead_but_not_all_at_once(colour_net, tmp_path, monkeypatch):
    for i in range(20):
        image(tmp_path / "photos" / f"{i:02}.png")
    read, lock, read_at_first_label = [], threading.Lock(), []
    to_input, predict = predictor.to_input, colour_net.predict

    def reading(path, channels, value_range):
        with lock:
            read.append(path)
        return to_input(path, channels, value_range)

    def labelling(images):
        if not read_at_first_label:
            read_at_first_label.append(len(read))
        return predict(images)

    monkeypatch.setattr(predictor, "to_input", reading)
    monkeypatch.setattr(colour_net, "predict", labelling)
    done, _ = predict_files(Predictor(colour_net), [tmp_path / "photos"], tmp_path / "out")
    assert len(done) == 20
    assert 1 <= read_at_first_label[0] <= batch.AHEAD + 1


def places(targets: dict[Path, Path], root: Path) -> dict[str, str]:
    return {str(k.relative_to(root)): str(v.relative_to(root)) for k, v in targets.items()}


def test_patterns_keep_the_folders_below_their_fixed_part(photos, tmp_path):
    out = tmp_path / "out"
    pattern = places(targets([str(photos / "d*" / "*.png")], out), tmp_path)
    assert pattern == {"photos/day/c.png": "out/day/c.png"}
    deep = places(targets([str(photos / "**" / "*.tif")], out), tmp_path)
    assert deep == {"photos/day/night/a.tif": "out/day/night/a.png"}
    folders = places(targets([str(photos / "d*")], out), tmp_path)
    assert folders == {"photos/day/c.png": "out/day/c.png", "photos/day/night/a.tif": "out/day/night/a.png"}


def test_a_name_with_brackets_is_a_name_first(tmp_path):
    path = image(tmp_path / "photo[1].png")
    assert targets([path], tmp_path / "out") == {path: tmp_path / "out" / "photo[1].png"}


def test_an_image_given_twice_is_labelled_once(photos, tmp_path):
    twice = targets([photos, photos / "a.png", photos / "day" / ".." / "a.png"], tmp_path / "out")
    assert len(twice) == 4


def test_results_inside_the_folder_are_not_labelled_again(colour_net, photos):
    for _ in range(2):
        done, _ = predict_files(Predictor(colour_net), [photos], photos / "out", overlay=True)
        assert len(done) == 4


@pytest.mark.parametrize("names", [["a.png", "a.jpg"], ["x/a.png", "y/a.png"]])
def test_two_images_for_one_file_are_refused(tmp_path, names):
    paths = [image(tmp_path / name) for name in names]
    with pytest.raises(ConfigError, match=r"would both be written to .*a\.png"):
        targets(paths, tmp_path / "out")


@pytest.mark.parametrize(
    ("names", "written"),
    [
        (["a.png", "a_scores/red.png"], "a_scores.red.png"),
        (["a.png", "a_overlay.bmp"], None),
        (["a.png", "A.bmp"], "a.png"),
        (["\u00e9.png", "e\u0301.bmp"], ".png"),
        (["A_SCORES/Red.png", "a.png"], "a_scores.red.png"),
    ],
    ids=["scores", "none", "letters", "accents", "scores, letters"],
)
def test_no_result_of_an_image_is_another_images(colour_net, tmp_path, names, written):
    """Nor would be where large and small letters, or spellings of accents, are one."""
    for number, name in enumerate(names):
        image(tmp_path / "in" / name, number)
    given = [tmp_path / "in"]
    if written is None:
        done, failed = predict_files(Predictor(colour_net), given, tmp_path / "out", overlay=True, scores=True)
        assert (len(done), failed) == (2, [])
        return
    with pytest.raises(ConfigError, match=rf"would both be written to .*{written}"):
        predict_files(Predictor(colour_net), given, tmp_path / "out", overlay=True, scores=True)
    assert not (tmp_path / "out").exists()


def test_an_overlay_is_not_another_images_unfinished_run_nor_a_folder(tmp_path):
    image(tmp_path / "in" / "a.png")
    image(tmp_path / "in" / "a.png.d" / "b.png")
    assert len(targets([tmp_path / "in"], tmp_path / "out")) == 2
    image(tmp_path / "more" / "a.bmp")
    image(tmp_path / "more" / "a.png" / "b.bmp")
    with pytest.raises(ConfigError, match=r"needs a folder .*a\.png, which is an image or the result of another"):
        targets([tmp_path / "more"], tmp_path / "out")


def test_classes_whose_names_differ_by_letters_alone_have_heat_maps_of_their_own(make_net, tmp_path):
    path = image(tmp_path / "a.png")
    predict_files(Predictor(make_net(("car", "Car", "CON"))), [path], tmp_path / "out", scores=True)
    assert files(tmp_path / "out" / "a_scores") == ["%43ON.png", "Car%1.png", "car%0.png"]


def test_all_results_that_would_be_one_file_are_listed(tmp_path):
    for name in ("a.png", "a.jpg", "a.bmp", "b.png", "b.jpg", "c.png"):
        image(tmp_path / name)
    with pytest.raises(ConfigError, match=r"^3 results have no place of their own; label them into") as refused:
        targets([tmp_path], tmp_path / "out")
    lines = str(refused.value).splitlines()[1:]
    assert [line.split(" and ")[1].partition(" ")[0] for line in lines] == [
        str(tmp_path / name) for name in ("a.jpg", "a.png", "b.png")
    ]


@pytest.mark.parametrize(("name", "overlay"), [("a.png", False), ("a_overlay.jpg", True)])
def test_an_image_is_never_written_over(colour_net, tmp_path, name, overlay):
    image(tmp_path / "a.png") if overlay is False else image(tmp_path / "a.bmp")
    before = image(tmp_path / name).read_bytes()
    with pytest.raises(ConfigError, match="over an image"):
        predict_files(Predictor(colour_net), [tmp_path], tmp_path, overlay=overlay)
    assert (tmp_path / name).read_bytes() == before


def test_pictures_have_no_levels(colour_net, photos, tmp_path):
    with pytest.raises(ConfigError, match=r"--level 1: .* is read as a picture, which has no levels"):
        predict_files(Predictor(colour_net), [photos], tmp_path / "out", level=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["photos", "nowhere"], r"nowhere: there is no such file or folder"),
        (["empty"], r"empty: this folder and those in it hold no images; files ending in .*\.webp"),
        (["photos/*.xyz"], r"\*\.xyz: no image matches this pattern"),
        ([], "no images are given"),
    ],
)
def test_inputs_that_name_no_image_are_refused_before_anything_is_done(colour_net, photos, tmp_path, given, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    with pytest.raises(DataError, match=message):
        predict_files(Predictor(colour_net), [tmp_path / name for name in given], tmp_path / "out")
    assert not (tmp_path / "out").exists()


CITYSCAPES = "road,sidewalk,building,wall,fence,pole,traffic light,traffic sign,vegetation,terrain,sky,person,rider,car"
CITYSCAPES += ",truck,bus,train,motorcycle,bicycle"
LABEL_IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
"""The ids of the 19 train ids in the authors' table (cityscapesScripts, helpers/labels.py)."""


def test_predictions_are_written_back_as_cityscapes_label_ids(make_net, photos, tmp_path):
    names = CITYSCAPES.split(",")[::-1]  # found by their names, whatever their order
    net = make_net(names)
    net.palette = [(9 * i, 40, 255 - i) for i in range(19)]
    done, failed = predict_files(Predictor(net), [photos], tmp_path / "out", values="cityscapes", overlay=True)
    assert (len(done), failed) == (4, [])
    for source in done:
        written = Image.open((tmp_path / "out" / source.relative_to(photos)).with_suffix(".png"))
        labels = np.asarray(Image.open(source)).argmax(2)
        assert np.array_equal(np.asarray(written), np.array(LABEL_IDS[::-1])[labels])
        assert np.array_equal(np.asarray(written.convert("RGB")), np.array(net.palette, np.uint8)[labels])


def test_values_that_a_benchmark_takes_are_those_that_are_read(tmp_path):
    values = values_of("cityscapes", CITYSCAPES.split(","))
    assert values[:19].tolist() == LABEL_IDS
    assert values[255] == 0  # void: unlabeled
    for folder, name in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds")):
        image(tmp_path / folder / f"val/ulm/ulm_000000_000000_{name}.png")
    code = open_data(tmp_path).mask_code
    assert code.label_values(values[:19])[0].tolist() == list(range(19))


def test_a_benchmarks_values_are_refused_for_other_classes_and_for_tiffs(colour_net, make_net, photos, tmp_path):
    def label(net, values="cityscapes", tile="auto"):
        predict_files(Predictor(net), [photos], tmp_path / "out", values=values, tile=tile)

    with pytest.raises(ConfigError, match=r"not those of the benchmark \(3 classes, not 19"):
        label(colour_net)
    with pytest.raises(ConfigError, match="expected one of cityscapes"):
        label(colour_net, "kitti")
    with pytest.raises(ConfigError, match="would give a TIFF"):
        label(make_net(CITYSCAPES.split(",")), tile=64)
    assert not (tmp_path / "out").exists()
