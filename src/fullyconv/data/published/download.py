"""Download the published data sets that torchvision knows an address of, and say where to find the others."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from torchvision.datasets import SBDataset
from torchvision.datasets.utils import download_url
from torchvision.datasets.voc import DATASET_YEAR_DICT

from fullyconv.data.published.unpack import unpack
from fullyconv.errors import ConfigError, DataError


class Archive(NamedTuple):
    """A published archive: its address, its MD5 sum, and the folder that it unpacks to."""

    url: str
    filename: str
    md5: str
    unpacks_to: str


def _voc(year: str) -> Archive:
    published = DATASET_YEAR_DICT[year]
    return Archive(published["url"], published["filename"], published["md5"], published["base_dir"])


ARCHIVES = {
    **{f"voc{year}": _voc(year) for year in ("2010", "2011", "2012")},
    "sbd": Archive(SBDataset.url, SBDataset.filename, SBDataset.md5, "benchmark_RELEASE"),
}

_RELEASE = "https://github.com/shelhamer/fcn.berkeleyvision.org/tree/master/data"
_CONTEXT = "https://www.cs.stanford.edu/~roozbeh/pascal-context"
BY_HAND = {
    "nyud": [
        "The authors of FCN publish NYUDv2 in the form they used: http://dl.caffe.berkeleyvision.org/nyud.tar.gz",
        f"The lists trainval.txt and test.txt are at {_RELEASE}/nyud too.",
    ],
    "siftflow": [
        "The data are at http://www.cs.unc.edu/~jtighe/Papers/ECCV10/siftflow/SiftFlowDataset.zip",
        f"Put trainval.txt and test.txt from {_RELEASE}/sift-flow beside its folder Images.",
    ],
    "pascal-context": [
        f"The annotations are at {_CONTEXT}: trainval.tar.gz (with labels.txt) and 59_labels.txt",
        "The images are VOC 2010's: `fullyconv data download voc2010 DIR`, with DIR the folder that holds both.",
    ],
}


def download(name: str, folder: str | Path) -> Path:
    """Download and unpack a data set of ``ARCHIVES`` into ``folder``; return the data set's folder.

    The archive is checked by its MD5 sum, unpacked whole or not at all, and then removed. An archive that is in
    ``folder`` already is not downloaded again.
    Raises ConfigError for an unknown name; DataError if the data set is there already, is one of ``BY_HAND``, or cannot
    be downloaded, with its address.
    """
    folder = Path(folder)
    if name in BY_HAND:
        raise DataError(f"{name} has to be downloaded and unpacked by hand.", *BY_HAND[name])
    if name not in ARCHIVES:
        raise ConfigError(f"there is no download {name!r}; expected one of {', '.join([*ARCHIVES, *BY_HAND])}")
    archive = ARCHIVES[name]
    target = folder / archive.unpacks_to
    if os.path.lexists(target):
        raise DataError(f"{target}: is there already; to download it again, remove it first")
    try:
        download_url(archive.url, folder, archive.filename, archive.md5)
    except (OSError, RuntimeError) as error:  # torchvision raises RuntimeError for a wrong MD5 sum
        raise DataError(
            f"{archive.url} cannot be downloaded ({error}). Download it in another way (MD5 {archive.md5}), put it "
            f"into {folder} as {archive.filename} and run this again: it is then unpacked from there"
        ) from error
    _unpack(folder / archive.filename, archive.unpacks_to, target)
    (folder / archive.filename).unlink()
    return target


def _unpack(file: Path, inner: str, target: Path) -> None:
    beside = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=file.parent))
    try:
        unpack(file, beside)
        target.parent.mkdir(parents=True, exist_ok=True)
        (beside / inner).replace(target)
    except Exception as error:  # archives break in many ways
        raise DataError(f"{file}: cannot be unpacked ({error}); remove it and run this again") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
