"""The model card for the Hugging Face hub: what a network is, what it was trained and measured on, how to use it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from fullyconv.evaluation.metrics import METRICS
from fullyconv.model.fcn import FCN

PAPER = "https://arxiv.org/abs/1605.06211"
RATES = {"iou": "IoU", "dice": "Dice", "precision": "precision", "accuracy": "recall"}
"""Key of a class in ``evaluation.json``, where older runs have only some → name."""


def card(
    net: FCN,
    repo: str,
    *,
    evaluation: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    license: str | None = None,
) -> str:
    """Return the README.md of ``repo``.

    - ``evaluation``: the content of the run's evaluation.json.
    - ``config``: the run's configuration, ``without_paths``.
    - ``license``: the hub's name of a licence.
    """
    name = repo.split("/")[-1]
    dataset = ((config or {}).get("data") or {}).get("path") or "unknown"
    data = ModelCardData(
        license=license,
        library_name="fullyconv",
        pipeline_tag="image-segmentation",
        tags=["semantic-segmentation", "fcn", net.name],
        model_name=name if evaluation else None,
        eval_results=_eval_results(evaluation, dataset) if evaluation else None,
    )
    sections = [f"# {name}", _about(net), _usage(repo), _classes(net)]
    if evaluation:
        sections += [_measured(head, result, dataset) for head, result in _by_head(evaluation)]
    if config:
        sections.append(_block("Training", "yaml", yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)))
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"))


def without_paths(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's configuration with only the last name of each path, as the others are private."""
    data, model = dict(config.get("data") or {}), dict(config.get("model") or {})
    if data.get("path"):
        data["path"] = PurePath(data["path"]).name
    init = model.get("init")
    if init:
        model["init"] = [PurePath(path).name for path in init] if isinstance(init, list) else PurePath(init).name
    return {**config, **({"data": data} if data else {}), **({"model": model} if model else {})}


def _by_head(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from evaluation.get("heads", {"": evaluation}).items()


def _eval_results(evaluation: Mapping[str, Any], dataset: str) -> list[EvalResult]:
    """Return the metrics of each labeling, without those that are undefined because no pixel was measured."""
    return [
        EvalResult(
            task_type="image-segmentation",
            dataset_type=dataset,
            dataset_name=f"{dataset}, {head}" if head else dataset,
            dataset_config=head or None,  # the hub merges results whose data sets differ only in name
            dataset_split=result["split"] or None,
            metric_type=key,
            metric_name=title,
            metric_value=result[key],
        )
        for head, result in _by_head(evaluation)
        for key, title in METRICS.items()
        if result[key] is not None
    ]


def _about(net: FCN) -> str:
    parameters = sum(parameter.numel() for parameter in net.parameters())
    return (
        f"Semantic segmentation with a fully convolutional network ([the paper]({PAPER})): {_code(net.name)}, "
        f"{parameters:,} parameters, {net.in_channels} input channels, {net.num_classes} classes. It takes images of "
        "any size and labels every pixel."
    )


def _usage(repo: str) -> str:
    return _block(
        "Usage",
        "python",
        "import fullyconv as fc\n\n"
        f'net = fc.load("hub:{repo}")\n'
        'segmentation = fc.Predictor(net)("street.jpg")  # .labels (H, W), .classes, .overlay(), .save(path)\n',
    )


def _classes(net: FCN) -> str:
    heads, names = net.heads or {"": net.num_classes}, iter(net.classes)
    rows = [f"| {_plain(head)} | {i} | {_plain(next(names))} |" for head, count in heads.items() for i in range(count)]
    return "## Classes\n\n| labeling | index | class |\n| --- | --- | --- |\n" + "\n".join(rows)


def _measured(head: str, result: Mapping[str, Any], dataset: str) -> str:
    split = f", split {_code(result['split'])}" if result["split"] else ""
    metrics = [[title, _rate(result[key])] for key, title in METRICS.items()]
    columns: dict[str, list[str]] = {"class": [_plain(entry["name"]) for entry in result["per_class"]]}
    for key, title in RATES.items():
        if all(key in entry for entry in result["per_class"]):
            columns[title] = [_rate(entry[key]) for entry in result["per_class"]]
    columns["pixels"] = [f"{entry['pixels']:,}" for entry in result["per_class"]]
    if "boundary" in result:
        boundary = result["boundary"]
        columns["boundary IoU"], columns["boundary F1"], columns[f"HD95 in {boundary['hd95_unit']}"] = (
            [_rate(entry[key], digits) for entry in boundary["per_class"]]
            for key, digits in (("iou", 3), ("f1", 3), ("hd95", 2))
        )
        metrics += [
            ["mean boundary IoU", _rate(boundary["mean_iou"])],
            ["mean boundary F1", _rate(boundary["mean_f1"])],
        ]
    if "calibration" in result:
        metrics.append(["expected calibration error", _rate(result["calibration"]["ece"], 4)])
    if "thresholds" in result:
        metrics.append(["average precision", _rate(result["thresholds"]["average_precision"])])
    return "\n".join(
        [
            f"## Measured{': ' * bool(head)}{_plain(head)}",
            "",
            f"On {result['images']} images of {_code(dataset)}{split}, {len(result['per_class'])} classes.",
            "",
            *_table(("metric", ""), metrics),
            "",
            *_table(tuple(columns), zip(*columns.values(), strict=True)),
        ]
    )


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (titles, ["---"] * len(titles), *rows)]


def _block(title: str, language: str, content: str) -> str:
    fence = _longer_than_those_in(content, "```")
    return f"## {title}\n\n{fence}{language}\n{content.rstrip()}\n{fence}"


def _plain(text: str) -> str:
    """Escape a name so that it is shown as it is: neither as HTML or Markdown, nor ending a table's cell."""
    return re.sub(r"([\\`*_\[\]<>&|~$#!:@])", r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """Return a name as inline code, whatever it holds."""
    text = " ".join(text.split())
    fence = _longer_than_those_in(text, "`")
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"


def _longer_than_those_in(content: str, fence: str) -> str:
    return "`" * max(len(fence), 1 + max(map(len, re.findall("`+", content)), default=0))


def _rate(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
