"""What files hold is read once and remembered; what is remembered is never trusted against the file itself."""

import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fullyconv.data import cache, check, class_pixels, contents, open_data
from fullyconv.data.cache import FILE, Contents, Stored, contents_of, read_stored
from fullyconv.data.contents import MaskContent, count_labels, read_mask_content
from fullyconv.data.masks import MaskCode, to_labels

LONG_AGO = 1_500_000_000


@pytest.fixture
def folder(save, tmp_path):
    """A data set of six images and index masks that changed long ago."""
    random = np.random.default_rng(0)
    for index in range(6):
        save(f"images/{index}.png", random.integers(0, 256, (5, 7, 3)))
        save(f"masks/{index}.png", random.integers(0, 3, (5, 7)))
    settle(tmp_path)
    return tmp_path


def settle(folder: Path) -> None:
    for path in folder.rglob("*.png"):
        os.utime(path, (LONG_AGO, LONG_AGO))


@pytest.fixture
def decoded(monkeypatch):
    """Counts how often each file is decoded."""
    count = Counter()
    for module, name in ((contents, "open_source"), (contents, "open_mask")):
        real = getattr(module, name)

        def counting(path, *more, real=real, **options):
            count["/".join(path.parts[-2:])] += 1
            return real(path, *more, **options)

        monkeypatch.setattr(module, name, counting)
    return count


def everything(folder):
    """What a data set is found to be, from opening to the classes' frequencies; as another process would."""
    contents_of.cache_clear()
    data = open_data(folder)
    report = check(data)
    return data.classes, report.problems, [vars(class_pixels(data, split)) for split in data.splits]


def same(one, other):
    np.testing.assert_equal(one, other)
    return True


def test_each_file_is_decoded_once_for_all_that_is_asked_of_it(folder, decoded):
    first = everything(folder)
    assert set(decoded.values()) == {1}
    assert len(decoded) == 12
    again = everything(folder)
    assert sum(decoded.values()) == 12  # another process decodes nothing
    assert same(first, again)


@pytest.mark.parametrize("settled", [True, False])
def test_a_file_that_changes_is_read_again(folder, save, decoded, settled):
    before = everything(folder)
    save("masks/3.png", np.full((5, 7), 2))
    if settled:
        os.utime(folder / "masks/3.png", (LONG_AGO + 1, LONG_AGO + 1))
    decoded.clear()
    after = everything(folder)
    assert set(decoded) == {"masks/3.png"}
    assert not all((a["pixels"] == b["pixels"]).all() for a, b in zip(before[2], after[2], strict=True))


def test_a_file_is_read_again_when_the_mask_beside_it_changes(folder, save):
    rasterio = pytest.importorskip("rasterio")
    path = save("images/9.tif", np.zeros((5, 7, 3)))
    for covered in (7, 14):
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as file:
            file.write_mask(np.arange(35).reshape(5, 7) >= covered)
        os.utime(path, (LONG_AGO, LONG_AGO))
        os.utime(f"{path}.msk", (LONG_AGO + covered, LONG_AGO + covered))
        files = contents_of(folder)
        assert files.image(path).valid == pytest.approx(1 - covered / 35)
        files.save()
    Path(f"{path}.msk").unlink()
    assert contents_of(folder).image(path).valid == 1


def test_a_file_of_just_now_is_not_remembered(folder, save, decoded):
    """It may change again within what file systems keep of the time, and keep its size."""
    path = save("masks/3.png", np.full((5, 7), 2))
    everything(folder)
    status = path.stat()
    save("masks/3.png", np.full((5, 7), 1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    counted = everything(folder)[2]
    truth = [np.asarray(Image.open(folder / f"masks/{index}.png")) for index in range(6)]
    assert sum(split["pixels"][1] for split in counted) == sum(int((mask == 1).sum()) for mask in truth)


def forge(stored: Stored) -> None:
    """Change a count, and the digest with it."""
    name, entry = next(iter(stored.masks.items()))
    values = {**entry.content.values, 0: 10**12}
    stored.masks[name] = entry.model_copy(update={"content": entry.content.model_copy(update={"values": values})})


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "binary", "version", "count", "field", "no digest"])
def test_a_damaged_or_forged_cache_is_ignored_and_replaced(folder, decoded, damage):
    sound = everything(folder)
    file = folder / FILE
    stored, text = read_stored(file), file.read_text()
    assert stored.masks
    if damage == "version":
        stored.version = "another"
    if damage == "count":
        forge(stored)
    body = stored.model_dump_json()
    if damage == "field":
        body = body.replace('"orientation"', '"__reduce__"', 1)
    place = text.index('"values":{"0":') + len('"values":{"0":')
    damaged = {
        "cut": text[:-20],
        "bit": text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :],
        "empty": "",
        "no digest": text.partition("\n")[2],
    }.get(damage, f"{cache._digest(body)}\n{body}")
    file.write_bytes(b"\xff\x00" * 50 if damage == "binary" else damaged.encode())
    assert not read_stored(file).masks or damage == "version"
    decoded.clear()
    assert same(everything(folder), sound)
    assert set(decoded.values()) == {1}
    decoded.clear()
    everything(folder)
    assert not decoded


def test_what_is_written_is_data_alone(folder):
    everything(folder)
    digest, text = (folder / FILE).read_text().split("\n")
    assert int(digest, 16)
    assert set(json.loads(text)) == {"version", "images", "masks", "alike"}


def test_another_version_of_the_code_reads_the_files_again(folder, decoded, monkeypatch):
    everything(folder)
    decoded.clear()
    monkeypatch.setattr(cache, "version", lambda: "later")
    everything(folder)
    assert len(decoded) == 12


def test_a_folder_that_cannot_be_written_is_remembered_in_memory(folder, decoded, monkeypatch):
    def refuse(path, content):
        raise PermissionError(path)

    monkeypatch.setattr(cache, "write_whole", refuse)
    everything(folder)
    assert set(decoded.values()) == {1}
    assert not (folder / FILE).exists()


def test_processes_that_write_at_once_leave_a_whole_cache(folder):
    def read(index):
        of_process = Contents(folder)
        for path in sorted((folder / "masks").iterdir())[index % 6 :]:
            of_process.mask(path, None)
        of_process.save()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(24)))
    assert read_stored(folder / FILE).masks
    read(0)
    assert len(read_stored(folder / FILE).masks) == 6


def test_files_that_are_gone_are_forgotten(folder, save):
    everything(folder)
    (folder / "masks/0.png").unlink()
    (folder / "images/0.png").unlink()
    save("images/new.png", np.zeros((5, 7, 3)))
    save("masks/new.png", np.zeros((5, 7)))
    settle(folder)
    everything(folder)
    stored = read_stored(folder / FILE)
    assert "masks/new.png" in stored.masks
    assert "masks/0.png" not in stored.masks


def test_masks_of_countless_values_are_not_remembered(folder, save):
    save("masks/3.png", np.arange(5000).reshape(50, 100), np.uint16)
    save("images/3.png", np.zeros((50, 100, 3)))
    settle(folder)
    check(open_data(folder))
    stored = read_stored(folder / FILE).masks
    assert "masks/3.png" not in stored
    assert len(stored) == 5


def test_a_count_that_does_not_fit_the_size_is_no_content():
    with pytest.raises(ValueError, match="the counts add up to 5 pixels, but the mask has 2x2"):
        MaskContent(size=(2, 2), values={0: 5})


byte = st.integers(0, 255)
modes = st.sampled_from(["1", "L", "P", "LA", "RGB", "RGBA", "I;16", "I"])


@st.composite
def masks(draw):
    """A mask file of any mode, of few values as masks have, or of many."""
    mode = draw(modes)
    few = draw(st.lists(st.integers(0, 3) | byte, min_size=1, max_size=5))
    pixels = draw(st.lists(st.sampled_from(few), min_size=6, max_size=6))
    if mode in ("I;16", "I"):
        dtype = {"I;16": np.uint16, "I": np.int32}[mode]
        return Image.fromarray(np.array(pixels, dtype).reshape(2, 3) * draw(st.sampled_from([1, 200])))
    image = Image.fromarray(np.array(pixels, np.uint8).reshape(2, 3))
    if mode == "P":
        image = Image.frombytes("P", image.size, image.tobytes())
        image.putpalette(draw(st.lists(byte, min_size=3, max_size=12).map(lambda flat: flat[: len(flat) // 3 * 3])))
        return image
    if mode in ("RGB", "RGBA") and draw(st.booleans()):
        channels = [Image.fromarray(np.array(draw(st.permutations(pixels)), np.uint8).reshape(2, 3)) for _ in range(3)]
        return Image.merge("RGB", channels).convert(mode)
    return image.convert(mode)


@st.composite
def codes(draw):
    count = draw(st.integers(1, 5))
    colours = draw(st.none() | st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=count, max_size=count))
    known = {colour: label for label, colour in enumerate(colours)} if colours is not None else None
    return MaskCode(count, draw(st.none() | byte), known, by_colour=draw(st.booleans()))


@settings(max_examples=300, deadline=None)
@given(mask=masks(), code=codes())
def test_labels_counted_by_value_are_the_labels_of_the_pixels(tmp_path_factory, mask, code):
    path = tmp_path_factory.getbasetemp() / ("mask.tif" if mask.mode == "I" else "mask.png")
    mask.save(path)
    labels, unknown = to_labels(Image.open(path), code)
    counted, found = count_labels(read_mask_content(path, None), code)
    assert counted.tolist() == np.bincount(labels.ravel(), minlength=256).tolist()
    assert dict(found) == dict(unknown)
    assert [pixels for _, pixels in found] == sorted((pixels for _, pixels in found), reverse=True)
