"""Archives of strangers: nothing is written outside of the folder, and no more than a bound."""

import gzip
import io
import tarfile

import pytest

from fullyconv.data.published import download as downloads
from fullyconv.data.published import unpack as unpacking
from fullyconv.data.published.unpack import inner_path, unpack
from fullyconv.errors import DataError


def entry(name, content=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, link
    return info, content


@pytest.fixture
def tar(tmp_path):
    """Write an archive of these entries; its path."""

    def write(*entries, mode="w"):
        path = tmp_path / "a.tar"
        with tarfile.open(path, mode) as archive:
            for info, content in entries:
                archive.addfile(info, io.BytesIO(content))
        (tmp_path / "out").mkdir(exist_ok=True)
        return path

    return write


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_files_and_folders_are_written(tar, tmp_path, mode):
    long = "/".join(["folder" * 10] * 4)
    path = tar(
        entry("VOC", kind=tarfile.DIRTYPE), entry("VOC/a.txt", b"text"), entry(f"{long}/b", b"b" * 70_000), mode=mode
    )
    unpack(path, tmp_path / "out")
    assert (tmp_path / "out/VOC/a.txt").read_bytes() == b"text"
    assert (tmp_path / "out" / long / "b").read_bytes() == b"b" * 70_000


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/evil", "C:/evil", "C:evil", "..\\evil", "\\evil", "\\\\host\\share\\evil", "a:b"],
)
def test_nothing_is_written_outside(tar, tmp_path, name):
    before = set(tmp_path.rglob("*")) | {tmp_path / "a.tar", tmp_path / "out"}
    with pytest.raises(ValueError, match="leads out of the folder"):
        unpack(tar(entry(name, b"x")), tmp_path / "out")
    assert set(tmp_path.rglob("*")) == before
    with pytest.raises(ValueError, match="leads out"):
        inner_path(name)


def test_links_lead_nowhere(tar, tmp_path):
    (tmp_path / "secret").write_text("secret")
    path = tar(
        entry("up", kind=tarfile.SYMTYPE, link=".."),
        entry("up/evil", b"x"),
        entry("hard", kind=tarfile.LNKTYPE, link="../secret"),
        entry("pipe", kind=tarfile.FIFOTYPE),
        entry("device", kind=tarfile.CHRTYPE),
    )
    unpack(path, tmp_path / "out")
    assert not (tmp_path / "evil").exists()
    assert [file.name for file in (tmp_path / "out").rglob("*")] == ["up", "evil"]
    assert not (tmp_path / "out/up").is_symlink()


def test_bombs_are_refused_before_they_are_written(tar, tmp_path, monkeypatch):
    path = tar(*(entry(f"{i}", b"\0" * 100_000) for i in range(10)), mode="w:gz")
    monkeypatch.setattr(unpacking, "MAX_BYTES", 250_000)
    with pytest.raises(ValueError, match="need more than the 250,000 bytes"):
        unpack(path, tmp_path / "out")
    assert sum(file.stat().st_size for file in (tmp_path / "out").iterdir()) == 200_000
    monkeypatch.setattr(unpacking, "MAX_ENTRIES", 5)
    with pytest.raises(ValueError, match="more than 5 entries"):
        unpack(tar(*(entry(f"{i}") for i in range(6))), tmp_path / "out")


def test_a_size_that_is_only_claimed_is_refused(tmp_path):
    info = tarfile.TarInfo("huge")
    info.size = 2**50
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(ValueError, match="need more than"):
        unpack(tmp_path / "a.tar", tmp_path)
    info.size = 5000
    (tmp_path / "a.tar").write_bytes(info.tobuf() + bytes(1024))
    with pytest.raises((ValueError, OSError, tarfile.TarError)):
        unpack(tmp_path / "a.tar", tmp_path)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_description_of_any_length_is_not_read(tmp_path, kind):
    """Thousands of bytes of a gzipped archive can stand for gigabytes of a name."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, 64 * 2**20
    (tmp_path / "a.tgz").write_bytes(gzip.compress(info.tobuf() + b"a" * info.size))
    with pytest.raises(ValueError, match="at once"):
        unpack(tmp_path / "a.tgz", tmp_path)


def test_a_download_that_is_hostile_leaves_the_archive_alone(tar, tmp_path, monkeypatch):
    path = tar(entry("VOCdevkit/VOC2012/good", b"x"), entry("../evil", b"x"))
    archive = downloads.ARCHIVES["voc2012"]
    monkeypatch.setattr(
        downloads, "download_url", lambda url, root, name, md5: (root / name).write_bytes(path.read_bytes())
    )
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=r"cannot be unpacked \(its entry '\.\./evil' leads out"):
        downloads.download("voc2012", tmp_path / "data")
    assert [file.name for file in (tmp_path / "data").iterdir()] == [archive.filename]
    assert not (tmp_path / "evil").exists()
