"""The precision: decided by what the hardware has and by a measurement, written down, the same for all processes."""

import copy

import pytest
import torch
import yaml
from torch import nn

from fullyconv import hardware
from fullyconv.data.dataset import SegmentationDataset
from fullyconv.errors import ConfigError
from fullyconv.training import precision, stages
from fullyconv.training.precision import Timings, decide
from fullyconv.training.stages import new_network, train

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))


def quiet(_):
    pass


@pytest.fixture
def has_bf16(monkeypatch):
    """The CPU says that it multiplies bf16, and there is no GPU."""
    monkeypatch.setattr(precision, "best_device", lambda: CPU)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})


@pytest.mark.parametrize(
    ("device", "bf16", "timings", "expected"),
    [
        (CUDA, True, None, "bf16"),
        (CUDA, False, None, "16"),
        (MPS, False, None, "32"),
        (CPU, False, None, "32"),
        (CPU, True, Timings(float32=1.9, bf16=1.0), "bf16"),
        (CPU, True, Timings(float32=1.0, bf16=0.95), "32"),
        (CPU, True, Timings(float32=0.6, bf16=1.0), "32"),
    ],
)
def test_the_precision_follows_from_the_hardware_and_the_timings(device, bf16, timings, expected):
    assert decide(device, bf16, timings) == expected


def test_a_measurement_times_both_precisions_and_is_the_median_after_a_warm_up(monkeypatch):
    now, seen = [0.0], []
    costs = {torch.float32: iter([50.0, 1.0, 3.0, 2.0, 9.0]), torch.bfloat16: iter([40.0, 4.0, 6.0, 5.0, 9.0])}
    monkeypatch.setattr(precision, "perf_counter", lambda: now[0])
    monkeypatch.setattr(precision, "SECONDS", 111.0)
    layer = nn.Linear(2, 2)

    def loss():
        result = layer(torch.ones(1, 2))
        seen.append(result.dtype)
        now[0] += next(costs[result.dtype])
        return result.sum()

    assert precision.measure(loss) == Timings(2.0, 5.0)  # 50 + 40 + 1 + 4 + 3 + 6 + 2 + 5 = 111
    assert seen == [torch.float32, torch.bfloat16] * 4


def test_a_measurement_of_slow_steps_ends_with_the_first_pair(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(precision, "perf_counter", lambda: now[0])
    weight = torch.ones(1, requires_grad=True)

    def loss():
        now[0] += 100.0
        return weight.sum()

    assert precision.measure(loss) == Timings(100.0, 100.0)


@pytest.mark.parametrize(
    ("timings", "said"),
    [
        (Timings(0.0694, 0.0431), "Precision: bf16 (a step takes 0.069 s in float32, 0.043 s in bf16)."),
        (Timings(113.4, 152.0), "Precision: float32 (a step takes 113 s in float32, 152 s in bf16)."),
    ],
)
def test_the_choice_is_said_in_plain_numbers(data, tiny, monkeypatch, has_bf16, timings, said):
    monkeypatch.setattr(precision, "measure", lambda loss: timings)
    config, lines = tiny(training__precision="auto"), []
    precision.choose(new_network(data, config, quiet), SegmentationDataset(data, "train"), config, lines.append)
    assert lines == [said]


def test_a_measurement_leaves_network_and_random_state_as_they_were(data, tiny, monkeypatch, has_bf16):
    monkeypatch.setattr(precision, "SECONDS", 0.2)
    config = tiny(training__precision="auto", model__dropout=0.5, training__freeze="backbone")
    net = new_network(data, config, quiet)
    before, state, modes = copy.deepcopy(net.state_dict()), torch.get_rng_state(), [m.training for m in net.modules()]
    said = []
    chosen = precision.choose(net, SegmentationDataset(data, "train"), config, said.append)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert [m.training for m in net.modules()] == modes
    assert chosen in ("32", "bf16")
    assert len(said) == 1
    assert "s in float32" in said[0]


def test_a_cpu_without_bf16_measures_nothing(data, tiny, monkeypatch):
    monkeypatch.setattr(precision, "best_device", lambda: CPU)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    monkeypatch.setattr(precision, "measure", lambda loss: pytest.fail("measured"))
    said = []
    net = new_network(data, tiny(), quiet)
    assert precision.choose(net, SegmentationDataset(data, "train"), tiny(), said.append) == "32"
    assert said == ["Precision: float32 (a CPU without bf16)."]


def test_the_size_measured_is_the_one_that_most_pixels_are_trained_in(tiny):
    shrinking = [{"until": 0.4, "crop": [64, 64]}, {"until": 0.9, "crop": [32, 64]}, {"crop": None}]
    assert precision._most_trained_size(tiny(data__resolutions=shrinking), (50, 60)) == (64, 64)
    assert precision._most_trained_size(tiny(data__resolutions=shrinking), (500, 600)) == (500, 600)


@pytest.mark.parametrize(("timings", "chosen"), [(Timings(2.0, 1.0), "bf16"), (Timings(1.0, 2.0), "32")])
def test_the_choice_is_written_down_and_a_resumed_run_keeps_it(
    data, tiny, tmp_path, monkeypatch, has_bf16, timings, chosen
):
    monkeypatch.setattr(precision, "measure", lambda loss: timings)
    config = tiny(training__precision="auto", training__epochs=1, training__stages=[32, 16])
    said = []
    train(data, config, tmp_path / "run", say=said.append)
    assert config.training.precision == "auto"
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["training"]["precision"] == chosen
    assert sum(line.startswith("Precision: ") for line in said) == 1


def test_the_other_processes_take_what_the_first_decided(data, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(stages.rank_zero_only, "rank", 1)
    monkeypatch.setattr(stages, "WAIT", 0.2)
    with pytest.raises(ConfigError, match=r"The first process .* wrote no .*config\.yaml"):
        stages._decided(new_network(data, tiny(), quiet), data, tiny(), tmp_path, quiet)
    (tmp_path / "config.yaml").write_text("training: {precision: bf16}\n")
    assert stages._decided(new_network(data, tiny(), quiet), data, tiny(), tmp_path, quiet) == "bf16"


def test_fp16_without_a_gpu_is_refused(data, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "best_device", lambda: CPU)
    with pytest.raises(ConfigError, match=r"training\.precision is 16, and there is no GPU"):
        train(data, tiny(training__precision=16), tmp_path / "run", say=quiet)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(precision, "best_device", lambda: MPS)
    precision.refuse_impossible(tiny(training__precision=16))


def test_more_devices_than_there_are_are_refused(data, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "best_device", lambda: MPS)
    with pytest.raises(ConfigError, match=r"training\.devices is 2; this machine has 1"):
        train(data, tiny(training__devices=2), tmp_path / "run", say=quiet)


def test_the_demo_s_classifier_takes_the_precision_of_the_cpu_where_it_is_trained(monkeypatch):
    from fullyconv.demo import story

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert hardware.best_device() == CUDA
    classifier = story.smallvgg.SmallVGG(3)
    batch = torch.rand(2, 3, 32, 32), torch.tensor([0, 1])
    assert not story._faster_in_bf16(classifier, *batch)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr(story, "measure", lambda loss: Timings(float(loss() > 0) + 1, 1.0))
    assert story._faster_in_bf16(classifier, *batch)
