"""Publish a network on the Hugging Face hub: weights, architecture, card, and its run's measurements."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import HfApi

from fullyconv.errors import WeightsError
from fullyconv.files import write_whole
from fullyconv.model.fcn import FCN
from fullyconv.publish.card import card, without_paths
from fullyconv.weights import hub, run_folder
from fullyconv.weights.run_files import CONFIG, EVALUATION
from fullyconv.yaml_data import read_yaml

MAX_EVALUATION = 64 * 2**20
"""Most bytes of an evaluation.json; that of 255 classes has about one MiB."""


def push_to_hub(
    source: FCN | str | Path, repo: str, *, private: bool = False, license: str | None = None, token: str | None = None
) -> str:
    """Publish a network, or the run folder or file that holds one, in one commit; return its address.

    - ``repo``: ``org/name``, which is created if it does not exist.
    - ``private``: whether a new repository is private.
    - ``license``: the hub's name of a licence, such as "mit".
    - ``token``: an access token; None means that of ``hf auth login``.

    Only the last names of paths in a run's configuration are published. Raises WeightsError.
    """
    if hub.NAME.fullmatch(repo) is None:
        raise WeightsError(f"{repo!r} is not the name of a repository on the hub: expected org/name.")
    net = source if isinstance(source, FCN) else run_folder.load(source)
    run = Path(source) if not isinstance(source, FCN) and Path(source).is_dir() else None
    evaluation, config = (_read_evaluation(run / EVALUATION), read_config(run / CONFIG)) if run else (None, None)
    config = without_paths(config) if config else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_folder.save(net, folder)
        write_whole(folder / "README.md", card(net, repo, evaluation=evaluation, config=config, license=license))
        if evaluation:
            write_whole(folder / EVALUATION, json.dumps(evaluation, indent=2))
        if config:
            write_whole(folder / CONFIG, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        api = HfApi(token=token)
        try:
            address = api.create_repo(repo, private=private or None, exist_ok=True)
            api.upload_folder(repo_id=repo, folder_path=folder, commit_message=f"{net.name} of fullyconv")
        except Exception as error:  # each version of the hub's client has the network errors of another HTTP library
            raise WeightsError(
                f"{repo} cannot be published on the Hugging Face hub: {error or type(error).__name__}. It needs a "
                "connection, and a token that may write there: hf auth login."
            ) from error
    return str(address)


def read_config(path: Path) -> Mapping[str, Any] | None:
    """Read a run's configuration; None if there is none. Raises WeightsError."""
    try:
        return _mapping(path, read_yaml(path)) if os.path.lexists(path) else None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}. Correct or remove it.") from error


def _read_evaluation(path: Path) -> Mapping[str, Any] | None:
    """Read a run's measurements; None if there are none. Raises WeightsError."""
    if not os.path.lexists(path):
        return None
    if path.stat().st_size > MAX_EVALUATION:
        raise WeightsError(f"{path} is larger than the {MAX_EVALUATION:,} bytes that are read. Remove it.")
    try:
        return _mapping(path, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} cannot be read: {error}. Correct or remove it.") from error


def _mapping(path: Path, content: object) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}; expected names and values. Correct or remove it.")
    return content
