"""What a CUDA GPU reaches: its matrix rate, whole networks from pixels to labels, and the fused readout.

    python benchmarks/gpu.py [--compile reduce-overhead|max-autotune|none] [--repeats 30]
    python benchmarks/gpu.py --device cpu --quick        does the script run? (small networks; no figures to quote)

Prints Markdown, then the same as JSON. Networks are untrained, in bf16 and channels_last, from uint8 images on the
device to labels on the device; operations are those of their convolutions and matrix products, counted by torch. The
fraction is of the matrix rate that is measured here, in the same run. Peers run in eager mode, as their users run them,
upsample by themselves and take the argmax. Peak memory is what a run allocates; a CUDA graph's own pool is not in it.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import fullyconv as fc
from fullyconv.geometry import Lattice
from fullyconv.model import readout

STRIDE = 8
LATTICE = Lattice((Fraction(STRIDE),) * 2, (Fraction(STRIDE - 1, 2),) * 2)
FULL = {
    "matrix": 8192,
    "networks": [("fcn8s-vgg16", 21, (500, 500)), ("fcn8s-resnet50", 19, (1024, 2048))],
    "encoder": "resnet50",
    "batches": (1, 16),
    "readout": (19, (1024, 2048)),
}
QUICK = {
    "matrix": 128,
    "networks": [("fcn8s-resnet18", 3, (64, 96))],
    "encoder": "resnet18",
    "batches": (1,),
    "readout": (3, (64, 96)),
}


def seconds(run, device, repeats):
    """Median of single runs, after three to warm up (the first ones compile)."""
    for _ in range(3):
        run()
    times = []
    for _ in range(repeats):
        if device == "cuda":
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            run()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) / 1000)
        else:
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_memory(run, device):
    """Bytes that one run allocates at its peak, beyond what was there; None where torch does not count them."""
    if device != "cuda":
        return None
    run()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    return torch.cuda.max_memory_allocated() - before


def fused(device):
    """The readout's fused form for the device."""
    if device == "cpu":
        return readout
    from fullyconv.model.readout import triton as readout_triton

    return readout_triton


def matrix_rate(size, device, repeats):
    """Operations per second of a bf16 product of square matrices, random ones: zeros run faster."""
    a, b = torch.randn(2, size, size, device=device, dtype=torch.bfloat16)
    return 2 * size**3 / seconds(lambda: a @ b, device, repeats)


def ours(net, device, compiled):
    """Images → labels; the scores compiled, with CUDA graphs, and the readout one kernel after them."""
    mode = {"backend": "eager"} if device == "cpu" else {"mode": compiled}
    scores_of = net.scores if compiled == "none" else torch.compile(net.scores, dynamic=False, **mode)

    @torch.no_grad()
    def run(images):
        scores = scores_of(images)
        size = (images.shape[2], images.shape[3])
        lattice = net.lattice_for(size, (scores.shape[2], scores.shape[3]))
        return fused(device).labels(scores, lattice, size, net.interpolation, net.border)

    return run


def peer(net, multiple):
    """Images, extended to a multiple of what the network asks for → labels."""

    @torch.no_grad()
    def run(images):
        height, width = images.shape[2:]
        x = F.pad(images, (0, -width % multiple, 0, -height % multiple)).bfloat16() / 255
        logits = net(x.contiguous(memory_format=torch.channels_last))
        logits = logits["out"] if isinstance(logits, dict) else logits
        return logits[..., :height, :width].argmax(1)

    return run


def peers(classes, encoder):
    """Name, network, and the multiple that its sides must have."""
    import torchvision

    yield (
        "torchvision fcn_resnet50",
        torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None, num_classes=classes),
        1,
    )
    try:
        import segmentation_models_pytorch as smp
    except ImportError:
        print("segmentation_models_pytorch is not installed: left out", file=sys.stderr)
        return
    yield f"smp FPN {encoder}", smp.FPN(encoder, encoder_weights=None, classes=classes), 32


def forms(name, classes, options, encoder):
    """Every form to be measured: name and images → labels. Each network is made when its turn comes."""

    def ready(net):
        return net.to(options.device, torch.bfloat16).to(memory_format=torch.channels_last).eval()

    net = ready(fc.create(name, classes))
    yield f"**{name}**, eager", ours(net, options.device, "none")
    if options.compile != "none":
        yield f"**{name}**, compiled", ours(net, options.device, options.compile)
    del net
    for title, net, multiple in peers(classes, encoder):
        yield f"{title}, eager", peer(ready(net), multiple)


def networks(plan, rate, options):
    for name, classes, size in plan["networks"]:
        for form, run in forms(name, classes, options, plan["encoder"]):
            for batch in plan["batches"]:
                images = torch.randint(0, 256, (batch, 3, *size), dtype=torch.uint8, device=options.device)
                row = {"network": form, "size": list(size), "batch": batch}
                try:
                    row |= measured(run, images, rate, options)
                except torch.OutOfMemoryError as error:
                    row["failed"] = str(error).splitlines()[0]
                print(row, file=sys.stderr)
                yield row
        torch.compiler.reset()


def measured(run, images, rate, options):
    taken = seconds(lambda: run(images), options.device, options.repeats)
    with FlopCounterMode(display=False) as counter, torch.compiler.set_stance("force_eager"):
        run(images)
    operations = counter.get_total_flops()
    return {
        "seconds": taken,
        "images_per_second": len(images) / taken,
        "operations": operations,
        "fraction_of_matrix_rate": operations / taken / rate,
        "peak_bytes": peak_memory(lambda: run(images), options.device),
    }


def readout_forms(scores, labels, device):
    """What is read out of the scores: by upsampling first, and fused."""

    def upsampled():
        return F.interpolate(scores, scale_factor=STRIDE, mode="bilinear")

    def gradient(loss):
        return torch.autograd.grad(loss, scores)[0]

    return {
        "labels": (
            torch.no_grad()(lambda: upsampled().argmax(1)),
            lambda: fused(device).labels(scores, LATTICE, labels.shape[1:]),
        ),
        "loss and gradient": (
            lambda: gradient(F.cross_entropy(upsampled().float(), labels.long(), ignore_index=255)),
            lambda: gradient(fused(device).loss(scores, labels, LATTICE)),
        ),
    }


def readouts(plan, options):
    """Labels and loss (with its gradient) from 1/8 scores, in both forms; and whether these agree."""
    classes, (height, width) = plan["readout"]
    device = options.device
    labels = torch.randint(0, classes, (1, height, width), dtype=torch.uint8, device=device)
    for dtype in (torch.float32, torch.bfloat16):
        scores = torch.randn(1, classes, height // STRIDE, width // STRIDE, device=device, dtype=dtype)
        for what, (first, second) in readout_forms(scores.requires_grad_(), labels, device).items():
            expected, found = first(), second()
            differs = expected != found if what == "labels" else (expected - found).norm() / expected.norm()
            yield {
                "what": what,
                "scores": str(dtype).removeprefix("torch."),
                "upsample_first_seconds": seconds(first, device, options.repeats),
                "fused_seconds": seconds(second, device, options.repeats),
                "upsample_first_bytes": peak_memory(first, device),
                "fused_bytes": peak_memory(second, device),
                "difference": differs.double().mean().item(),
            }


def mebibytes(count):
    return "–" if count is None else f"{count / 2**20:.1f}"


def markdown(result):
    classes, (height, width) = result["readout_classes"], result["readout_size"]
    lines = [
        "# On a GPU",
        "",
        f"{result['device']}; torch {result['torch']}, Python {result['python']}; compiled: {result['compile']}. "
        f"bf16 matrix rate: {result['matrix_rate'] / 1e12:.3g} Tera-operations/s (a multiplication and an addition are "
        "two).",
        "",
        "| network | size | batch | ms | images/s | Giga-operations | of the matrix rate | peak MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in result["networks"]:
        start = f"| {row['network']} | {row['size'][0]}×{row['size'][1]} | {row['batch']} | "
        if "failed" in row:
            lines.append(f"{start}{row['failed']} | | | | |")
            continue
        lines.append(
            f"{start}{row['seconds'] * 1000:.2f} | {row['images_per_second']:.1f} | {row['operations'] / 1e9:.1f} | "
            f"{row['fraction_of_matrix_rate']:.1%} | {mebibytes(row['peak_bytes'])} |"
        )
    lines += [
        "",
        f"Readout, 1×{classes}×{height}×{width} from 1/{STRIDE} scores. Difference: of labels, the share of pixels; of "
        "gradients, relative.",
        "",
        "| what | scores | upsample first: ms | fused: ms | time | upsample first: MiB | fused: MiB | memory | "
        "difference |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in result["readout"]:
        (t0, t1), (m0, m1) = ((row[f"upsample_first_{unit}"], row[f"fused_{unit}"]) for unit in ("seconds", "bytes"))
        lines.append(
            f"| {row['what']} | {row['scores']} | {t0 * 1000:.3f} | {t1 * 1000:.3f} | {t1 / t0:.2f} | "
            f"{mebibytes(m0)} | {mebibytes(m1)} | {'–' if m0 is None else f'{m1 / m0:.3f}'} | {row['difference']:.1e} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="small networks and sizes")
    parser.add_argument("--compile", choices=["reduce-overhead", "max-autotune", "none"], default="reduce-overhead")
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("No CUDA GPU was found. To see that the script runs: --device cpu --quick.")
    if options.device == "cpu" and not options.quick:
        sys.exit("--device cpu goes with --quick: the full sizes are meant for a GPU.")
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    plan = QUICK if options.quick else FULL
    rate = matrix_rate(plan["matrix"], options.device, options.repeats)
    result = {
        "device": torch.cuda.get_device_name() if options.device == "cuda" else platform.machine(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "compile": options.compile,
        "matrix_rate": rate,
        "networks": list(networks(plan, rate, options)),
        "readout_classes": plan["readout"][0],
        "readout_size": plan["readout"][1],
        "readout": list(readouts(plan, options)),
    }
    print(markdown(result), "\n\n```json\n", json.dumps(result, indent=1), "\n```", sep="")


if __name__ == "__main__":
    main()
