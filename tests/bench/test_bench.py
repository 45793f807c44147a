"""``bench``: what it measures, counts and prints. Times are not asserted, but how the figures follow from them is."""

import io
import json
import re
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import fullyconv as fc
from fullyconv import cli
from fullyconv.bench import bench, markdown, patchwise, process, runtimes
from fullyconv.bench.report import COLUMNS
from fullyconv.errors import ConfigError, FullyConvError
from fullyconv.exporting import export, fixed
from fullyconv.model.backbones import paper
from fullyconv.weights import run_folder

# The package's function has the name of its module.
module = sys.modules["fullyconv.bench.bench"]


@pytest.fixture
def here(monkeypatch):
    """Jobs run in this process, on small matrices, few times; the jobs."""
    done = []

    def run(job):
        done.append(job)
        try:
            return process.JOBS[job["job"]](job)
        except FullyConvError as error:
            return {"error": str(error)}

    monkeypatch.setattr(module, "in_own_process", run)
    monkeypatch.setattr(module, "SIDE", {"cpu": 64, "cuda": 64})
    monkeypatch.setattr(process, "SECONDS", 0)
    return done


@pytest.fixture
def thin(monkeypatch):
    monkeypatch.setattr(paper.VGG16, "widths", (4, 6, 8, 8, 8))
    monkeypatch.setattr(paper.VGG16, "hidden", 16)


@pytest.fixture
def run(tmp_path):
    torch.manual_seed(0)
    run_folder.save(fc.create("fcn8s-test_resnet", 3), tmp_path / "run")
    return tmp_path / "run"


def test_a_run_folder_is_measured_at_each_size(here, run):
    measured = bench(str(run), [(32, 40), (33, 70)], ["torch"], batch=2)
    assert (measured["model"], measured["network"]) == ("run", "fcn8s-test_resnet")
    assert [result["size"] for result in measured["results"]] == [[32, 40], [33, 70]]
    for result in measured["results"]:
        (row,) = result["runtimes"]
        assert 0 < row["median"] <= row["p90"]
        assert row["runs"] >= 3
        assert row["images_per_second"] == pytest.approx(2 / row["median"])
        assert row["fraction"] == pytest.approx(
            row["operations"] / row["median"] / measured["machine"]["matrix_rates"]["cpu"]
        )
        assert row["operations"] == 2 * result["operations"] == 2 * sum(x["operations"] for x in result["layers"])
    json.dumps(measured)


def test_operations_are_those_that_torch_counts(run):
    net = run_folder.load(run).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net.scores(torch.zeros(1, 3, 45, 64))
    assert module.operations(net, (45, 64), 3)["operations"] == counter.get_total_flops()


def test_a_measurement_is_of_labels_for_the_batch_and_size(here, run, monkeypatch):
    shapes = []

    def prepare(runtime, model, file, images):
        def labels(images):
            shapes.append((tuple(images.shape), images.dtype))

        return labels

    monkeypatch.setattr(runtimes, "prepare", prepare)
    row = bench(str(run), [(20, 30)], ["torch"], batch=3)["results"][0]["runtimes"][0]
    assert set(shapes) == {((3, 3, 20, 30), torch.uint8)}
    assert len(shapes) == row["runs"] + 1  # the first one only warms


def test_the_papers_networks_are_measured_without_their_border(here, thin):
    measured = bench("fcn8s-vgg16", [(50, 60)], ["torch", "torch-borderless"])
    (result,) = measured["results"]
    plain, lean = result["runtimes"]
    assert lean["operations"] == result["without_border"] < 0.5 * plain["operations"]
    assert "Without the work on the border" in markdown(measured)


def test_runtimes_agree(thin):
    """Labels from each runtime that runs it for one size, of a network whose classes differ."""
    torch.manual_seed(0)
    net = fc.create("fcn8s-vgg16", 4).eval()
    for score in net.score.values():
        torch.nn.init.normal_(score.get_parameter("weight"))
    images = torch.randint(0, 256, (2, 3, 37, 50), dtype=torch.uint8)
    images[..., :25] = 0
    pytest.importorskip("openvino")
    labels = net.predict(images)
    assert len(labels.unique()) > 1
    assert (fixed.on_openvino(net, (37, 50), batch=2)(images) == labels).float().mean() > 0.999


def test_a_job_runs_in_a_process_of_its_own():
    assert process.in_own_process({"job": "matrix_rate", "device": "cpu", "side": 32})["rate"] > 0


def test_a_job_that_fails_says_so_in_words(monkeypatch, capsys):
    job = {"job": "export", "model": "./no-such-run", "file": "x.onnx"}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(job)))
    process.main()
    assert "no-such-run" in json.loads(capsys.readouterr().out)["error"]


def test_one_runtime_that_fails_does_not_hide_the_others(here, run, monkeypatch):
    prepare = runtimes.prepare

    def failing(runtime, *rest):
        if runtime == "compile":
            raise ConfigError("no such compiler")
        return prepare(runtime, *rest)

    monkeypatch.setattr(runtimes, "prepare", failing)
    monkeypatch.setattr(module, "missing", lambda runtime, exported: None)
    measured = bench(str(run), [(32, 32)], ["torch", "compile"])
    assert measured["results"][0]["runtimes"][1] == {"runtime": "compile", "device": "cpu", "error": "no such compiler"}
    assert "| compile |  | failed: no such compiler |" in markdown(measured)
    with pytest.raises(ConfigError, match="could not be measured: no such compiler"):
        bench(str(run), [(32, 32)], ["compile"])


@pytest.mark.parametrize(("asked", "words"), [("tensorrt", "expected one of torch, compile"), ("openvino", "pip inst")])
def test_runtimes_that_are_not_there_are_refused(run, monkeypatch, asked, words):
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=words):
        bench(str(run), [(32, 32)], [asked])


def test_what_is_not_installed_is_left_out_and_named(here, run, monkeypatch):
    monkeypatch.setattr(module, "missing", lambda runtime, exported: None if runtime == "torch" else f"no {runtime}")
    text = markdown(bench(str(run), [(32, 32)]))
    assert "| torch |" in text
    assert "- openvino was not measured: no openvino." in text


def test_what_is_exported_needs_nothing_that_writes_files(monkeypatch):
    writers = ("onnx", "onnxscript")
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: None if name in writers else object())
    for runtime in ("onnxruntime", "openvino"):
        assert runtimes.missing(runtime, exported=True) is None
        assert runtimes.missing(runtime, exported=False).startswith("onnx and onnxscript not installed")
    assert runtimes.missing("openvino-fixed", exported=False) is None


def test_on_a_gpu_each_runtime_is_rated_by_its_own_device(here, run, monkeypatch):
    """Files run on the CPU; the GPU is one of words alone."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    rates = {"cuda": {"rate": 1e12}, "cpu": {"rate": 1e9}}
    row = {"median": 0.5, "p90": 0.6, "runs": 5, "peak_memory": 2**20}
    answers = {"matrix_rate": lambda job: rates[job["device"]], "measure": lambda job: row, "export": lambda job: {}}
    monkeypatch.setattr(process, "JOBS", answers)
    monkeypatch.setattr(module, "missing", lambda runtime, exported: None)
    measured = bench(str(run), [(32, 32)], ["torch", "onnxruntime"])
    on_gpu, on_cpu = measured["results"][0]["runtimes"]
    assert (on_gpu["device"], on_cpu["device"]) == ("cuda", "cpu")
    assert on_cpu["fraction"] == pytest.approx(1000 * on_gpu["fraction"])
    assert runtimes.device_of("torch.export") == "cpu"
    assert "cuda: a GPU, large matrices at 1000 GFLOP/s" in markdown(measured)


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """``fullyconv bench …``: its exit code, and what it printed."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["fullyconv", "bench", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out + printed.err

    return call


def test_the_command_takes_a_model_and_sizes(here, run, command, tmp_path):
    code, text = command(
        run, "--size", "32x40", "--size", "48x64", "--runtime", "torch", "--json", "m.json", "--md", "m.md"
    )
    assert code == 0, text
    assert (tmp_path / "m.md").read_text() == text
    sizes = [result["size"] for result in json.loads((tmp_path / "m.json").read_text())["results"]]
    assert sizes == [[32, 40], [48, 64]]
    assert command("--size", "32x40", run, "--runtime", "torch")[0] == 0


def test_the_command_refuses_in_words(command, run):
    for words in (("--size", "0x4"), ("--size", "500"), ("--runtime", "tensorrt")):
        code, text = command(run, *words)
        assert (code, "expected" in text, "Traceback" in text) == (2, True, False), text
    assert command("fcn8s-nothing")[0] == 2


def test_every_row_has_a_cell_for_each_column(here, run, tmp_path, monkeypatch):
    """Those of an exported file, whose operations nobody counts, and of a runtime that failed, too."""
    export(run_folder.load(run), tmp_path / "net.pt2")
    texts = [markdown(bench(str(tmp_path / "net.pt2"), [(32, 32)]))]

    def fails(job):
        return {"error": "this | that"} if job["runtime"] == "openvino-fixed" else measure(job)

    measure = process.measure
    monkeypatch.setitem(process.JOBS, "measure", fails)
    texts.append(markdown(bench(str(run), [(32, 32)], ["torch", "openvino-fixed"])))
    for text in texts:
        cells = {len(re.split(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")}
        assert cells == {len(COLUMNS) + 2}


def test_patches_and_one_pass_are_compared_by_a_command(monkeypatch, capsys):
    monkeypatch.setattr(patchwise, "report", lambda size: iter([f"compared at {size[0]}×{size[1]}"]))
    for words, said in ([], "compared at 500×500"), (["--size", "400x430"], "compared at 400×430"):
        monkeypatch.setattr(sys, "argv", ["fullyconv", "bench-patchwise", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert (ended.value.code, capsys.readouterr().out.strip()) == (0, said)
