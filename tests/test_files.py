"""Files are whole or absent, also where the disk is full."""

import shutil
from types import SimpleNamespace

import pytest

from fullyconv import files
from fullyconv.errors import DataError


def write(path, error):
    with files.whole_file(path) as beside:
        beside.write_text("half")
        raise error


@pytest.mark.parametrize("error", [RuntimeError("file write failed"), KeyboardInterrupt(), DataError("no mask")])
def test_a_file_that_was_not_finished_leaves_the_old_one(tmp_path, error):
    path = tmp_path / "model.json"
    path.write_text("old")
    with pytest.raises(type(error)):
        write(path, error)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_whatever_a_full_disk_makes_a_writer_say_it_is_called_full(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(OSError, match=r"No space left on device: .*last\.ckpt"):
        write(tmp_path / "last.ckpt", RuntimeError("unexpected pos 64 vs 0"))
    with pytest.raises(DataError):
        write(tmp_path / "mask.png", DataError("no mask"))
    assert not list(tmp_path.iterdir())
