"""Fetching published data sets; what would come over the network is made here."""

import hashlib
import shutil
import tarfile
import urllib.error

import pytest
from torchvision.datasets.utils import check_integrity

from fullyconv.cli import main
from fullyconv.data import open_data
from fullyconv.data.published import download as downloads
from fullyconv.errors import ConfigError, DataError
from tests.data.archives import sbd, voc


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Miniature archives under the real names and addresses; the addresses asked for."""
    asked = []
    files = {}
    for name, make in {"voc2011": lambda folder: voc(folder, 2011), "voc2012": voc, "sbd": sbd}.items():
        archive = downloads.ARCHIVES[name]
        make(tmp_path / name)
        files[archive.url] = tmp_path / archive.filename
        with tarfile.open(files[archive.url], "w:gz" if archive.filename.endswith("tgz") else "w") as tar:
            for entry in (tmp_path / name).iterdir():
                tar.add(entry, entry.name)
        md5 = hashlib.md5(files[archive.url].read_bytes()).hexdigest()
        monkeypatch.setitem(downloads.ARCHIVES, name, archive._replace(md5=md5))

    def fetch(url, root, filename, md5):
        asked.append(url)
        root.mkdir(parents=True, exist_ok=True)
        if not check_integrity(root / filename, md5):
            shutil.copy(files[url], root / filename)

    monkeypatch.setattr(downloads, "download_url", fetch)
    return asked


@pytest.mark.parametrize("name", ["voc2011", "voc2012", "sbd"])
def test_what_is_fetched_can_be_opened(served, tmp_path, name):
    root = downloads.download(name, tmp_path / "data")
    assert served == [downloads.ARCHIVES[name].url]
    assert open_data(root).layout == open_data(tmp_path / "data").layout == name[:3]
    assert [entry.is_dir() for entry in (tmp_path / "data").iterdir()] == [True]  # no archive, nothing half unpacked


def test_several_sets_share_a_folder(served, tmp_path):
    for name in ("voc2011", "sbd"):
        downloads.download(name, tmp_path / "data")
    assert open_data(tmp_path / "data").layout == "sbd+voc"


def test_nothing_is_fetched_over_what_is_there(served, tmp_path):
    downloads.download("voc2012", tmp_path / "data")
    with pytest.raises(DataError, match="VOC2012: is there already"):
        downloads.download("voc2012", tmp_path / "data")
    assert len(served) == 1


def test_an_archive_that_breaks_leaves_nothing_behind(served, tmp_path, monkeypatch):
    def fetch(url, root, filename, md5):
        root.mkdir()
        (root / filename).write_bytes(b"no archive")

    monkeypatch.setattr(downloads, "download_url", fetch)
    with pytest.raises(DataError, match="cannot be unpacked"):
        downloads.download("voc2012", tmp_path / "data")
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["VOCtrainval_11-May-2012.tar"]


@pytest.mark.parametrize("error", [urllib.error.URLError("no route"), RuntimeError("File not found or corrupted.")])
def test_no_network_says_what_to_fetch_by_hand(tmp_path, monkeypatch, error):
    def fetch(*args):
        raise error

    monkeypatch.setattr(downloads, "download_url", fetch)
    with pytest.raises(
        DataError, match=r"https://\S+benchmark\.tgz cannot be downloaded .*put it into .* as benchmark\.tgz"
    ):
        downloads.download("sbd", tmp_path)


@pytest.mark.parametrize("name", ["nyud", "siftflow", "pascal-context"])
def test_other_sets_are_fetched_by_hand(monkeypatch, capsys, tmp_path, name):
    monkeypatch.setattr("sys.argv", ["fullyconv", "data", "download", name, str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    words = capsys.readouterr().err
    assert f"{name} has to be downloaded and unpacked by hand" in words
    assert "http" in words


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="no download 'coco'; expected one of voc2010, voc2011, voc2012, sbd, nyud"):
        downloads.download("coco", "anywhere")
