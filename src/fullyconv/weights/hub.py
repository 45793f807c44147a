"""Download networks named ``hub:org/name[@revision]`` from the Hugging Face hub: tensors only, never a pickle."""

import re
import warnings
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from fullyconv.errors import WeightsError
from fullyconv.weights import HUB
from fullyconv.weights.run_files import ARCHITECTURE, WEIGHTS

PATIENCE = 10.0
"""Seconds to wait for the hub's first answer."""
NAME = re.compile(r"([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)", re.ASCII)
"""``org/name``."""
REPOSITORY = re.compile(rf"(?P<repo>{NAME.pattern})(@(?P<revision>[\w./-]+))?", re.ASCII)
"""``org/name``, or ``org/name@revision``."""


class HubId(NamedTuple):
    """A repository of the hub; ``revision``: a branch, a tag or a commit (None: its main branch)."""

    repo: str
    revision: str | None


def parse(source: str) -> HubId:
    """Return the repository that ``hub:org/name[@revision]`` names.

    Raises WeightsError where what follows ``hub:`` is not the name of a repository.
    """
    match = REPOSITORY.fullmatch(source.removeprefix(HUB))
    if match is None:
        raise WeightsError(f"{source}: expected hub:org/name or hub:org/name@revision.")
    return HubId(match["repo"], match["revision"])


def download(hub_id: HubId) -> Path:
    """Download a network's weights and architecture; return their folder, which is in the hub's cache.

    Where the hub cannot be reached, the copy downloaded last is used, with a warning. Raises WeightsError.
    """
    repo, revision = hub_id
    named = repo + (f"@{revision}" if revision else "")
    try:
        HfApi().repo_info(repo, revision=revision, timeout=PATIENCE)
        for name in (ARCHITECTURE, WEIGHTS):  # the small file first, which shows whether this is a network of ours
            path = _file(repo, name, revision)
    except GatedRepoError as error:
        raise WeightsError(
            f"{named}: its owner has to grant you access: ask on https://huggingface.co/{repo}, then run `hf auth "
            "login`."
        ) from error
    except RevisionNotFoundError as error:
        raise WeightsError(f"{named}: {repo} is on the hub, but has no revision {revision}.") from error
    except RepositoryNotFoundError as error:
        raise WeightsError(
            f"{named} is no repository of the Hugging Face hub that you may see. If it is private, run `hf auth login` "
            "or set HF_TOKEN."
        ) from error
    except LocalEntryNotFoundError as error:
        path = _cached(hub_id, named, error)
    except EntryNotFoundError as error:
        raise WeightsError(
            f"{named} is on the hub, but holds no network of fullyconv: expected {ARCHITECTURE} and {WEIGHTS}."
        ) from error
    except Exception as error:  # each version of the hub's client has the network errors of another HTTP library
        path = _cached(hub_id, named, error)
    return path.parent


def _cached(hub_id: HubId, named: str, reason: Exception) -> Path:
    try:
        for name in (ARCHITECTURE, WEIGHTS):
            path = _file(hub_id.repo, name, hub_id.revision, local_files_only=True)
    except EntryNotFoundError:
        raise WeightsError(
            f"{named}: the Hugging Face hub cannot be reached ({reason or type(reason).__name__}). "
            "Try again with a connection, or give a run folder."
        ) from reason
    warnings.warn(
        f"The Hugging Face hub cannot be reached; {named} is the copy downloaded last, {path.parent.name}.",
        stacklevel=2,
    )
    return path


def _file(repo: str, name: str, revision: str | None, local_files_only: bool = False) -> Path:
    path = hf_hub_download(repo, name, revision=revision, etag_timeout=PATIENCE, local_files_only=local_files_only)
    return Path(path)
