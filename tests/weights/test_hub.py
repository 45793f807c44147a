"""What is pushed is what is loaded; the card says what the run measured, in the hub's own format; no path leaves."""

import json
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import huggingface_hub
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from markdown_it import MarkdownIt

import fullyconv as fc
from fullyconv.errors import WeightsError
from fullyconv.evaluation.metrics import metrics
from fullyconv.model.fcn import build
from fullyconv.publish import push
from fullyconv.publish.card import PAPER, card
from fullyconv.weights import hub, run_folder

EVALUATION = {
    "pixel_accuracy": 0.9,
    "mean_accuracy": 0.8,
    "mean_iou": 0.625,
    "frequency_weighted_iou": None,
    "per_class": [
        {"name": "sky", "iou": 0.75, "accuracy": 0.85, "pixels": 1200},
        {"name": "road|lane", "iou": None, "accuracy": None, "pixels": 0},
    ],
    "confusion": [[1, 0], [0, 0]],
    "images": 7,
    "split": "val",
}
CONFIG = {
    "data": {"path": "/home/someone/data/streets", "batch_size": 8},
    "model": {"name": "fcn8s-test_resnet", "init": ["/home/someone/runs/color", "/home/someone/runs/hha"]},
}


def refusal(kind, message="refused"):
    """An error of the client, whatever its HTTP library asks for to make one."""
    error = kind.__new__(kind)
    error.args = (message,)
    return error


class Hub:
    """A folder in place of the hub, and another in place of its cache; ``down``: what every request ends with."""

    def __init__(self, folder: Path):
        self.remote, self.cache, self.down, self.private = folder / "remote", folder / "cache", None, {}
        self.fetched = []

    def _ask(self, repo, revision=None):
        if self.down:
            raise self.down
        if not (self.remote / repo).is_dir():
            raise refusal(RepositoryNotFoundError)
        if revision not in (None, "main", "v1"):
            raise refusal(RevisionNotFoundError)

    def repo_info(self, repo, revision=None, timeout=None):
        assert timeout is not None
        self._ask(repo, revision)

    def create_repo(self, repo, private=None, exist_ok=False):
        if self.down:
            raise self.down
        (self.remote / repo).mkdir(parents=True, exist_ok=exist_ok)
        self.private[repo] = private
        return f"https://huggingface.co/{repo}"

    def upload_folder(self, repo_id, folder_path, commit_message):
        shutil.copytree(folder_path, self.remote / repo_id, dirs_exist_ok=True)

    def hf_hub_download(self, repo, name, revision=None, etag_timeout=None, local_files_only=False):
        copy = self.cache / repo / name
        if not local_files_only:
            self._ask(repo, revision)
            if not (self.remote / repo / name).is_file():
                raise refusal(RemoteEntryNotFoundError)
            self.fetched.append(name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.remote / repo / name, copy)
        if not copy.is_file():
            raise refusal(LocalEntryNotFoundError)
        return str(copy)


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """The hub, whose client has the names and parameters of huggingface_hub's own."""
    fake = Hub(tmp_path / "hub")
    client = create_autospec(huggingface_hub.HfApi)
    for name in ("repo_info", "create_repo", "upload_folder"):
        getattr(client.return_value, name).side_effect = getattr(fake, name)
    download = create_autospec(huggingface_hub.hf_hub_download, side_effect=fake.hf_hub_download)
    monkeypatch.setattr(hub, "HfApi", client)
    monkeypatch.setattr(push, "HfApi", client)
    monkeypatch.setattr(hub, "hf_hub_download", download)
    return fake


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = build("fcn8s-test_resnet", ["sky", "road|lane"], [(1, 2, 3), (4, 5, 6)], width=8).eval()
    torch.nn.init.normal_(net.head[-1].weight)
    return net


@pytest.fixture
def run(net, tmp_path):
    folder = tmp_path / "run"
    run_folder.save(net, folder)
    (folder / "evaluation.json").write_text(json.dumps(EVALUATION))
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_text("not to be published")
    return folder


@pytest.mark.parametrize("source", ["network", "run", "file"])
@pytest.mark.parametrize("name", ["hub:org/streets", "hub:org/streets@v1"])
def test_what_is_pushed_is_what_is_loaded(remote, net, run, source, name):
    what = {"network": net, "run": str(run), "file": run / "model.safetensors"}[source]
    assert fc.push_to_hub(what, "org/streets") == "https://huggingface.co/org/streets"
    twin = fc.load(name)
    images = torch.randint(0, 256, (1, 3, 45, 37), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(twin(images), net(images))
    assert torch.equal(twin.predict(images), net.predict(images))
    assert (twin.classes, twin.palette) == (net.classes, net.palette)


def test_weights_and_architecture_alone_are_fetched(remote, run):
    fc.push_to_hub(run, "org/streets")
    (remote.remote / "org/streets/pytorch_model.bin").write_bytes(b"a pickle")
    fc.load("hub:org/streets")
    assert remote.fetched == ["model.json", "model.safetensors"]


def test_a_run_s_measurements_and_configuration_are_published_without_paths(remote, run):
    fc.push_to_hub(run, "org/streets", private=True, license="mit")
    folder = remote.remote / "org/streets"
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.yaml",
        "evaluation.json",
        "model.json",
        "model.safetensors",
    }
    assert remote.private == {"org/streets": True}
    assert json.loads((folder / "evaluation.json").read_text()) == EVALUATION
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["data"] == {"path": "streets", "batch_size": 8}
    assert config["model"]["init"] == ["color", "hha"]
    for path in folder.iterdir():
        assert b"someone" not in path.read_bytes(), path.name


def test_the_card_is_one_of_the_hub_s(remote, run):
    fc.push_to_hub(run, "org/streets", license="mit")
    written = ModelCard.load(remote.remote / "org/streets/README.md")
    data: Any = written.data
    assert (data.license, data.library_name, data.pipeline_tag) == ("mit", "fullyconv", "image-segmentation")
    assert "fcn8s-test_resnet" in data.tags
    results = {result.metric_type: result for result in data.eval_results}
    assert {name: result.metric_value for name, result in results.items()} == {
        "pixel_accuracy": 0.9,
        "mean_accuracy": 0.8,
        "mean_iou": 0.625,
    }
    assert (results["mean_iou"].dataset_name, results["mean_iou"].dataset_split) == ("streets", "val")
    assert "On 7 images of `streets`, split `val`, 2 classes." in written.text
    assert "| sky | 0.750 | 0.850 | 1,200 |" in written.text
    assert "| road\\|lane | – | – | 0 |" in written.text
    assert 'fc.load("hub:org/streets")' in written.text


def test_the_card_shows_all_that_was_measured(net):
    measured = metrics([[6, 2], [1, 9]], ["sky", "road|lane"], images=2, split="val")
    line = {"name": "sky", "iou": 0.25, "f1": 0.5, "hd95": 3.14159}
    boundary = {"hd95_unit": "pixels", "mean_iou": 0.3, "mean_f1": None, "per_class": [line, line | {"hd95": None}]}
    further = {"boundary": boundary, "calibration": {"ece": 0.01234}, "thresholds": {"average_precision": 0.875}}
    text = card(net, "org/streets", evaluation=measured | further)
    assert "| class | IoU | Dice | precision | recall | pixels | boundary IoU | boundary F1 | HD95 in pixels |" in text
    assert "| sky | 0.667 | 0.800 | 0.857 | 0.750 | 8 | 0.250 | 0.500 | 3.14 |" in text
    assert "| road\\|lane | 0.750 | 0.857 | 0.818 | 0.900 | 10 | 0.250 | 0.500 | – |" in text
    for row in ("mean boundary IoU | 0.300", "expected calibration error | 0.0123", "average precision | 0.875"):
        assert f"| {row} |" in text


def test_the_card_of_a_network_alone_claims_nothing(net):
    written = ModelCard(card(net, "org/streets"))
    assert not {"license", "model-index"} & written.data.to_dict().keys()
    assert "Measured" not in written.text
    assert "Training" not in written.text


def test_the_card_has_a_table_for_each_labeling():
    names = ["sky", "road", "flat", "upright"]
    heads = {"semantic": EVALUATION, "geometric": EVALUATION | {"mean_iou": 0.5}}
    net = build("fcn8s-test_resnet", names, heads={"semantic": 2, "geometric": 2})
    written = ModelCard(card(net, "org/both", evaluation=EVALUATION | {"heads": heads}))
    data: Any = written.data
    found = {(r.dataset_name, r.metric_value) for r in data.eval_results if r.metric_type == "mean_iou"}
    assert found == {("unknown, semantic", 0.625), ("unknown, geometric", 0.5)}
    assert "| geometric | 1 | upright |" in written.text


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (RepositoryNotFoundError, "org/streets@v1 is no repository"),
        (GatedRepoError, "its owner has to grant you access"),
        (RevisionNotFoundError, "has no revision v1"),
        (RemoteEntryNotFoundError, "expected model.json and model.safetensors"),
        (ConnectionError, "the Hugging Face hub cannot be reached"),
        (LocalEntryNotFoundError, "the Hugging Face hub cannot be reached"),
    ],
)
def test_what_cannot_be_fetched_is_said_in_words(remote, kind, message):
    remote.down = refusal(kind)
    with pytest.raises(WeightsError, match=message):
        fc.load("hub:org/streets@v1")


def test_the_copy_fetched_last_serves_without_a_connection_and_says_so(remote, net, run):
    fc.push_to_hub(run, "org/streets")
    fc.load("hub:org/streets")
    remote.down = ConnectionError("no route")
    with pytest.warns(UserWarning, match="cannot be reached; org/streets is the copy downloaded last"):
        assert fc.load("hub:org/streets").classes == net.classes


def test_only_what_says_so_is_asked_for_on_the_hub(remote, net, tmp_path, monkeypatch):
    """A path that is not there, as where the working folder is another, is not a stranger's repository."""
    monkeypatch.chdir(tmp_path)
    remote.down = AssertionError("the hub was asked")
    with pytest.raises(WeightsError, match=r"runs/photos: no such file.*write hub:runs/photos\."):
        fc.load("runs/photos")
    run_folder.save(net, Path("org/streets"))
    assert fc.load("org/streets").classes == net.classes


@pytest.mark.parametrize(
    "text", ["streets", "/org/streets", "./org/streets", "org/streets", "org/x.safetensors", "../x"]
)
def test_paths_are_paths(text, remote, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    remote.down = AssertionError("the hub was asked")
    with pytest.raises(WeightsError, match="no such file"):
        fc.load(text)


@pytest.mark.parametrize("text", ["hub:", "hub:streets", "hub:org/a/b", "hub:../x", "hub:org/a@", "hub:org/a@b c"])
def test_what_names_no_repository_is_refused(text):
    with pytest.raises(WeightsError, match="expected hub:org/name"):
        hub.parse(text)


def test_names_and_refusals_of_a_push(remote, net):
    with pytest.raises(WeightsError, match="'streets' is not the name of a repository"):
        fc.push_to_hub(net, "streets")
    remote.down = PermissionError("403 Forbidden")
    with pytest.raises(WeightsError, match=r"403 Forbidden.*a token that may write"):
        fc.push_to_hub(net, "org/streets")


HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[link](http://evil.example)",
    "![image](http://evil.example/a.png)",
    "a | b | c",
    "`code` ``more``",
    "```",
    "**bold** _it_ ~~no~~ $x$",
    "# heading",
    "&lt;b&gt;",
    "\\| \\` \\",
    "---",
    "a: {b: !!python/object:x}",
    "<http://evil.example>",
)


def test_names_in_the_card_are_names_whatever_they_hold(net):
    """Against another reader of Markdown: its text is the names', and nothing else has come of them."""
    per_class = [{"name": name, "iou": 0.5, "accuracy": 0.5, "pixels": 1} for name in HOSTILE]
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    for name in HOSTILE:
        config = {"data": {"path": name}, "model": {"name": f"a\n```\n{name}"}}
        one = EVALUATION | {"split": name, "per_class": per_class}
        hostile = build("fcn8s-test_resnet", list(HOSTILE), heads={name: len(HOSTILE)})
        written = ModelCard(
            card(hostile, "org/a", evaluation=one | {"heads": {name: one}}, config=config, license=name)
        )
        data: Any = written.data
        assert data.license == name
        assert {result.dataset_config for result in data.eval_results} == {name}
        tokens = reader.parse(written.text)
        inner = [token for block in tokens for token in block.children or ()]
        assert not [
            token for token in (*tokens, *inner) if token.type.startswith(("html", "image", "em", "strong", "hr"))
        ]
        assert {token.attrs["href"] for token in inner if token.type == "link_open"} == {PAPER}
        titles = [shown(tokens[i + 1]) for i, token in enumerate(tokens) if token.type == "heading_open"]
        assert titles == ["a", "Usage", "Classes", f"Measured: {name}", "Training"]
        cells = [shown(tokens[i + 1]) for i, token in enumerate(tokens) if token.type == "td_open"]
        assert cells[: 3 * len(HOSTILE)] == [cell for i, own in enumerate(HOSTILE) for cell in (name, str(i), own)]
        assert cells[-4 * len(HOSTILE) :: 4] == list(HOSTILE)
        codes = [token.content for token in inner if token.type == "code_inline"]
        assert codes == [hostile.name, name, name]
        assert [token.info for token in tokens if token.type == "fence"] == ["python", "yaml"]
        assert yaml.safe_load([token.content for token in tokens if token.type == "fence"][1]) == config


def shown(token):
    """The text that a reader of the page sees."""
    return "".join(part.content for part in token.children)
