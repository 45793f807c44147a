"""Files are whole or absent, also where the disk is full."""

import errno
import os
from types import SimpleNamespace

import pytest
import torch

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


def test_what_cannot_be_replaced_is_named(tmp_path):
    """A folder here; on Windows a file that another program has open, too."""
    (tmp_path / "model.json").mkdir()
    with pytest.raises(OSError, match=r"model\.json'$") as caught:
        files.write_whole(tmp_path / "model.json", "new")
    assert caught.value.filename == str(tmp_path / "model.json")
    assert [file.name for file in tmp_path.iterdir()] == ["model.json"]


def full(bytes):
    """A file of a disk that is full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("save", [lambda file: file.write(b"half"), lambda file: torch.save(torch.zeros(9), file)])
def test_a_full_disk_is_told_with_the_file_that_was_written(tmp_path, save):
    with pytest.raises(OSError, match=r"No space left on device: .*last\.ckpt"):  # noqa: SIM117
        with files.whole_file(tmp_path / "last.ckpt"):
            save(SimpleNamespace(write=full, flush=lambda: None))
    assert not list(tmp_path.iterdir())
