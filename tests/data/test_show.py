"""The sheet of samples."""

import numpy as np
import pytest
import tifffile
from matplotlib.figure import Figure
from PIL import Image

from fullyconv.data import open_data
from fullyconv.data.samples import show
from fullyconv.errors import ConfigError, DataError

PALETTE = [(255, 0, 255), (0, 255, 0)]


@pytest.fixture
def data(save, tmp_path):
    mask = Image.fromarray(np.array([[0] * 20 + [1] * 20] * 30, np.uint8), "P")
    mask.putpalette([channel for colour in PALETTE for channel in colour])
    for stem in ("one", "$two_{", "three"):
        save(f"images/train/{stem}.png", np.full((30, 40, 3), 60))
        save(f"masks/train/{stem}.png", mask)
    return open_data(tmp_path)


def share(path, colour):
    pixels = np.asarray(Image.open(path).convert("RGB"))
    return (pixels == colour).all(axis=2).mean()


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_the_figure_shows_images_masks_and_both(data, tmp_path, count):
    """Each class has half of each mask and, blended with the image, half of each overlay."""
    out = tmp_path / "figures" / "sheet.png"
    show(data, out, count)
    picture, classes = share(out, (60, 60, 60)), [share(out, colour) for colour in PALETTE]
    both = [share(out, tuple(30 + channel // 2 for channel in colour)) for colour in PALETTE]
    assert picture > 0.1
    for half in classes + both:
        assert half == pytest.approx(picture / 2, rel=0.15)


def test_other_formats_and_names_without_a_suffix(data, tmp_path):
    show(data, tmp_path / "sheet.svg")
    assert "<svg" in (tmp_path / "sheet.svg").read_text()
    show(data, tmp_path / "sheet")
    assert Image.open(tmp_path / "sheet").format == "PNG"


def test_what_cannot_be_shown_is_refused(data, tmp_path):
    with pytest.raises(ConfigError, match=r"sheet\.txt: figures can be written as .*png"):
        show(data, tmp_path / "sheet.txt")
    with pytest.raises(ConfigError, match="count is 0"):
        show(data, tmp_path / "sheet.png", count=0)
    for pair in data.split("train"):
        pair.mask.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"has no images to show; the first: .*cannot be read as an image"):
        show(data, tmp_path / "sheet.png", count=3)
    assert not [path for path in tmp_path.iterdir() if "sheet" in path.name]
    for pair in data.split("train"):  # as of annotations that came without their images
        pair.image.unlink()
    with pytest.raises(DataError, match=r"has no images to show; the first: .*there is no such file"):
        show(data, tmp_path / "sheet.png")


@pytest.mark.parametrize("count", [1, 3])
def test_others_are_shown_in_place_of_missing_and_broken_ones_which_are_named(data, tmp_path, count):
    first, second, _ = data.split("train")
    first.image.unlink()
    second.mask.write_bytes(b"broken")
    faults = show(data, tmp_path / "sheet.png", count)
    assert [fault.partition(":")[0] for fault in faults] == [str(first.image), str(second.mask)]
    picture, classes = share(tmp_path / "sheet.png", (60, 60, 60)), share(tmp_path / "sheet.png", PALETTE[0])
    assert picture > 0.1
    assert classes == pytest.approx(picture / 2, rel=0.15)


@pytest.mark.parametrize("name", ["c{}", "a class with a long name, as some data sets have them, number {}", "{}" * 90])
def test_the_legend_of_many_classes_lies_within_the_figure(save, tmp_path, name, monkeypatch):
    """150 classes in one image, as ADE20K could have them: each square of colour is seen, and no text is cut off."""
    names = [name.replace("{}", f"{number}") for number in range(150)]
    save("images/a.png", np.full((30, 40, 3), 60))
    save("masks/a.png", np.arange(1200).reshape(30, 40) % 150)
    (tmp_path / "dataset.yaml").write_text(f"classes: {names}\nimages: images\nmasks: masks\n")
    drawn = []
    saved = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *given, **more: drawn.append(self) or saved(self, *given, **more)
    )
    show(open_data(tmp_path), tmp_path / "sheet.png")
    (figure,) = drawn
    (legend,) = figure.legends
    box, whole = legend.get_window_extent(), figure.bbox
    assert len(legend.get_texts()) == 150
    assert box.x0 >= whole.x0 - 1
    assert box.x1 <= whole.x1 + 1
    assert box.y0 >= whole.y0 - 1
    assert box.y1 < min(axis.get_window_extent().y0 for axis in figure.axes)


def test_images_of_many_bands_and_16_bits_are_shown_as_a_network_is_given_them(tmp_path, save):
    """Their values are a small part of the type's: 300 to 1100, as of Sentinel-2."""
    bands = np.full((5, 30, 40), 300, np.uint16)
    bands[0, :, :20] = bands[1, :, 20:] = 1100
    for stem in ("one", "two"):
        (tmp_path / "images").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / f"images/{stem}.tif", bands, planarconfig="separate", photometric="minisblack")
        save(f"masks/{stem}.png", np.array([[0] * 20 + [1] * 20] * 30))
    out = tmp_path / "sheet.png"
    show(open_data(tmp_path), out)
    assert share(out, (255, 0, 0)) > 0.05
    assert share(out, (255, 0, 0)) == pytest.approx(share(out, (0, 255, 0)), rel=0.15)
