"""The command line: parses, calls, prints. What it calls is imported where it is used, so that help needs no torch."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from fullyconv.errors import ConfigError, FullyConvError

app = typer.Typer(
    help="Semantic segmentation with fully convolutional networks: from images and masks to a trained, measured model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Make, download, check and show data sets.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")
bench_app = typer.Typer(help="Measure what the library claims.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(bench_app, name="bench")

DataArgument = Annotated[Path, typer.Argument(help="A data set: a folder, or a descriptor (dataset.yaml).")]
DataOption = Annotated[Path, typer.Option(help="A data set: a folder, or a descriptor (dataset.yaml).")]
LayoutOption = Annotated[
    str | None, typer.Option(help="How the files lie, where detection is not wanted (see docs/data.md).")
]
ModelArgument = Annotated[str, typer.Argument(help="A run folder or a .safetensors file.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting of the recipe, as optimizer.lr=0.001; repeatable."),
]


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """``--debug`` is taken out by ``main``, wherever it stands; it is declared for the help."""


@app.command()
def demo(out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("runs/demo")) -> None:
    """The whole story on built-in data, in minutes, on a CPU."""
    from fullyconv.demo import run_demo

    run_demo(out, say)


@data_app.command("make")
def data_make(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    train: Annotated[int, typer.Option(help="Scenes to train on.", min=1)] = 400,
    val: Annotated[int, typer.Option(help="Scenes to validate on.", min=1)] = 60,
    test: Annotated[int, typer.Option(help="Scenes to test on.", min=1)] = 100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.", min=0)] = 0,
) -> None:
    """Write the built-in data set: drawn scenes with masks, and crops of single objects."""
    from fullyconv.data.shapes import make

    with progress_bar("drawing") as step:
        make(folder, train=train, val=val, test=test, seed=seed, progress=step)
    say(f"{folder}: {train} + {val} + {test} scenes (train, val, test), and crops of single objects.")


@data_app.command("download")
def data_download(
    name: Annotated[str, typer.Argument(help="voc2010, voc2011, voc2012 or sbd; for others it says where they are.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where it goes; several may share a folder.")],
) -> None:
    """Fetch one of the paper's data sets, as its authors publish it."""
    from fullyconv.data.download import download

    say(f"{download(name, folder)}")


@data_app.command("check")
def data_check(data: DataArgument, layout: LayoutOption = None) -> None:
    """Find what is wrong with a data set, all of it, and how often each class occurs."""
    from fullyconv.data import check, open_data

    with progress_bar("checking") as step:
        report = check(open_data(data, layout), progress=step)
    print(report.format_frequencies())
    if report.problems:
        print(report.format_problems(limit=None), file=sys.stderr)
        raise typer.Exit(2)
    print("No problems.")


@data_app.command("show")
def data_show(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="The figure, a PNG file.")],
    layout: LayoutOption = None,
) -> None:
    """Draw images beside their masks."""
    from fullyconv.data import open_data
    from fullyconv.data.show import show

    show(open_data(data, layout), out)
    say(f"{out}")


@app.command()
def train(
    data: Annotated[Path | None, typer.Option(help="A data set: a folder, or a descriptor (dataset.yaml).")] = None,
    model: Annotated[
        str | None, typer.Option(help="fcn{32,16,8,4,2}s-{timm backbone}.  [default: fcn8s-resnet18]")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="Settings in YAML; the options here go over it.")] = None,
    settings: SetOption = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.  [default: 50]")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the optimizer, instead of epochs.")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Minutes to train, instead of epochs.")] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option(
            "--pretrained/--no-pretrained",
            help="Start from ImageNet weights, or from none.  [default: pretrained]",
        ),
    ] = None,
    init: Annotated[
        list[Path] | None,
        typer.Option(help="Start from these weights: a run folder or a file; twice for late fusion: colour, HHA."),
    ] = None,
    freeze: Annotated[
        str | None, typer.Option(help="none, or backbone: train only what follows it.  [default: none]")
    ] = None,
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/train"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Train a network; what comes out is a run folder."""
    from fullyconv.training.config import load_config, parse_settings

    options = {
        "data.path": data,
        "model.name": model,
        "training.epochs": epochs,
        "training.steps": steps,
        "training.max_minutes": max_minutes,
        "model.pretrained": pretrained,
        "model.init": init[0] if init and len(init) == 1 else init or None,
        "training.freeze": freeze,
    }
    overrides = parse_settings(settings or []) | {key: v for key, v in options.items() if v is not None}
    lengths = [key for key in ("training.epochs", "training.steps", "training.max_minutes") if overrides.get(key)]
    if len(lengths) > 1:
        raise ConfigError(f"{' and '.join(lengths)} are two lengths of one run: give one of them.")
    if lengths:  # over whichever length the recipe has
        overrides = {"training.steps": None, "training.max_minutes": None} | overrides
    if resume:
        recipe = _recipe_to_resume(out, recipe, overrides)
    config = load_config(recipe, overrides)
    if config.data.path is None:
        raise ConfigError("--data is missing: a folder of images and masks, or a descriptor (dataset.yaml).")
    from fullyconv.training.stages import train as run_training

    checked = _checked(config.data.path, config.data.layout)
    net = run_training(checked, config, out, resume, say)
    if net is None:  # one of several processes; the first has the last word
        return
    split = "val" if "val" in checked.splits else "train"
    _evaluate(_placed(net), checked, split, out, out / "evaluation.json")


@app.command()
def evaluate(
    model: ModelArgument,
    data: DataOption,
    split: Annotated[str, typer.Option(help="Which part of the data.")] = "test",
    out: Annotated[
        Path | None, typer.Option(help="The measurements.  [default: evaluation.json in the run folder]")
    ] = None,
    layout: LayoutOption = None,
) -> None:
    """Measure a network: the paper's four metrics, a table per class, and a report."""
    net = _network(model)
    checked = _checked(data, layout, split)
    run = Path(model) if Path(model).is_dir() else None
    _evaluate(net, checked, split, run, out or (run / "evaluation.json" if run else None))


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A .caffemodel, .pth or .safetensors file, or torchvision.")],
    model: Annotated[str, typer.Option(help="The network in the file, as fcn8s-vgg16.")],
    out: Annotated[Path, typer.Option(help="The run folder.")],
    padding: Annotated[
        str | None, typer.Option(help="Of the paper's networks: paper, or same (no border).  [default: paper]")
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Where the source is a classifier: how many to score.  [default: 21]", min=1)
    ] = None,
) -> None:
    """Turn weights of Caffe, pytorch-fcn or torchvision into a run folder."""
    from fullyconv.convert import convert as run_conversion
    from fullyconv.weights import run_folder

    if (out / run_folder.WEIGHTS).exists():
        raise ConfigError(f"--out {out}: a network is there already. Give a new folder, or remove it.")
    options: dict[str, Any] = {"padding": padding, "classes": classes}
    net = run_conversion(source, model, **options)
    run_folder.save(net, out)
    parameters = sum(parameter.numel() for parameter in net.parameters())
    names = ", ".join([*net.classes[:3], "..."] if len(net.classes) > 4 else net.classes)
    say(f"{out}: {net.name}, {parameters:,} parameters, {len(net.classes)} classes ({names}).")


@app.command()
def predict(
    model: ModelArgument,
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Where the masks go.")],
    overlay: Annotated[bool, typer.Option("--overlay", help="Also the image under the coloured mask.")] = False,
    scores: Annotated[bool, typer.Option("--scores", help="Also a heat map of each class.")] = False,
    scales: Annotated[str, typer.Option(help="Average over these scales, as 0.75,1,1.25.")] = "1",
    flip: Annotated[bool, typer.Option("--flip", help="Average over the mirrored image, too.")] = False,
    head: Annotated[str | None, typer.Option(help="Which of several labelings.  [default: the first]")] = None,
) -> None:
    """Label every pixel of images: index PNG files with a palette."""
    factors = _numbers("--scales", scales)
    from fullyconv.inference.batch import predict_files
    from fullyconv.inference.predictor import Predictor

    predictor = Predictor(_network(model), scales=factors, flip=flip, head=head)
    with progress_bar("predicting") as step:
        done, failed = predict_files(predictor, images, out, overlay=overlay, scores=scores, progress=step)
    say(f"{len(done)} masks in {out}.")
    if failed:
        lines = "\n".join(f"  {message}" for _, message in failed)
        fail(f"{len(failed)} of {len(done) + len(failed)} images failed; the others are done.\n{lines}")


@app.command()
def inspect(
    model: Annotated[str, typer.Argument(help="A run folder, a .safetensors file, or a network's name: untrained.")],
    size: Annotated[
        tuple[int, int] | None, typer.Option(metavar="H W", min=1, help="Of the image, in pixels.  [default: 500 500]")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Look at this image, in its own size.")] = None,
    cell: Annotated[
        tuple[int, int] | None, typer.Option(metavar="ROW COL", min=0, help="What this cell of the scores sees.")
    ] = None,
    heat: Annotated[str | None, typer.Option(help="The scores of this class, stage by stage, in a figure.")] = None,
    upsampling: Annotated[
        bool, typer.Option("--upsampling", help="The four ways of upsampling side by side, in a figure.")
    ] = False,
    figure: Annotated[Path | None, typer.Option(help="Where the figure goes, a PNG file.")] = None,
    classes: Annotated[int | None, typer.Option(help="Of an untrained network.  [default: 21]", min=1)] = None,
    padding: Annotated[str | None, typer.Option(help="Of an untrained network of the paper's: paper or same.")] = None,
) -> None:
    """Show a network: the paper's Table 1, each layer, and what cells see; class scores and upsampling as figures."""
    from fullyconv.inspection.inspect import inspect_model

    for line in inspect_model(model, size, image, cell, heat, upsampling, figure, classes, padding):
        print(line, flush=True)


@bench_app.command("patchwise")
def bench_patchwise(
    size: Annotated[tuple[int, int], typer.Option(metavar="H W", min=355, help="Of the image, in pixels.")] = (
        500,
        500,
    ),
) -> None:
    """Slide AlexNet over an image patch by patch, and run it over all of it at once."""
    from fullyconv.inspection.patchwise import report

    for line in report(size):
        print(line, flush=True)


def _recipe_to_resume(out: Path, recipe: Path | None, overrides: dict[str, Any]) -> Path:
    """A run goes on with its own configuration."""
    config = out / "config.yaml"
    given = [f"--recipe {recipe}"] if recipe else []
    given += [key for key, value in overrides.items() if key != "data.path" and value is not None]
    if given:
        raise ConfigError(f"--resume goes on with {config}; leave out {', '.join(given)}.")
    if not config.is_file():
        raise ConfigError(
            f"--resume: {out} holds no run ({config} is missing). Expected the --out of an earlier train."
        )
    return config


def _checked(path: Path, layout: str | None, split: str | None = None) -> Any:
    """The data set, if nothing is wrong with it."""
    from fullyconv.data import check, open_data

    data = open_data(path, layout)
    if split is not None:
        data.split(split)
    with progress_bar("checking data") as step:
        check(data, [split] if split else None, progress=step).raise_if_any()
    return data


def _network(model: str) -> Any:
    """The network, on the GPU where there is one."""
    from fullyconv.weights import run_folder

    return _placed(run_folder.load(model))


def _placed(net: Any) -> Any:
    import torch

    return net.to("cuda" if torch.cuda.is_available() else "cpu")


def _evaluate(net: Any, data: Any, split: str, run: Path | None, out: Path | None) -> None:
    """Measure, print, and where there is a run folder write its report."""
    from fullyconv.evaluation.report import evaluate_and_report

    with progress_bar(f"evaluating on {split}") as step:
        result = evaluate_and_report(net, data, split, run, out, progress=step)
    print("\n\n".join(_table(own, name) for name, own in result.get("heads", {"": result}).items()))


def _table(result: Any, head: str) -> str:
    """The four metrics and the classes, as text; ``head`` names the labeling where there are several."""

    def rate(value: float | None) -> str:
        return "    -" if value is None else f"{value:.3f}"

    names = {
        "pixel_accuracy": "pixel accuracy",
        "mean_accuracy": "mean accuracy",
        "mean_iou": "mean IoU",
        "frequency_weighted_iou": "frequency-weighted IoU",
    }
    width = max(22, *(len(entry["name"]) for entry in result["per_class"]))
    lines = [f"{result['images']} images of {result['split']}{', ' * bool(head)}{head}", ""]
    lines += [f"{name:{width}}  {rate(result[key])}" for key, name in names.items()]
    lines += ["", f"{'class':{width}}    IoU  accuracy"]
    lines += [f"{e['name']:{width}}  {rate(e['iou'])}     {rate(e['accuracy'])}" for e in result["per_class"]]
    return "\n".join(lines)


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option} {text}: expected numbers with commas between, as 0.75,1,1.25.") from None


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on the terminal, moved by calling what is yielded with (done, total); nothing where there is none."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def say(message: str) -> None:
    """Tell the user how far things are: on stderr, results alone go to stdout."""
    print(message, file=sys.stderr, flush=True)


def fail(message: str) -> NoReturn:
    """End with exit code 2: the user's input is at fault."""
    print(f"fullyconv: {message}", file=sys.stderr)
    raise SystemExit(2)


def main() -> None:
    """Run a command; a user's mistake ends with one message and exit code 2, a bug of ours with 1."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app(standalone_mode=True)
    except FullyConvError as error:
        if debug:
            raise
        fail(str(error))
    except OSError as error:
        if debug or error.filename is None:
            raise
        fail(f"{error.filename}: {error.strerror}.")
