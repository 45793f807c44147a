"""Threads that label images with two networks, and with one: are the labels those of one thread?

python benchmarks/threads.py [--images 1000]
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

import fullyconv as fc
from fullyconv import geometry
from fullyconv.inference.bands import predict_bands
from fullyconv.inference.tiles import predict_tiled
from fullyconv.model.fcn import FCN

NETWORKS = ("fcn8s-test_resnet", "fcn8s-smallvgg")
WAYS: tuple[Callable[[FCN, Tensor], Tensor], ...] = (
    lambda net, image: net.predict(image),
    lambda net, image: predict_tiled(net, image, 96),
    lambda net, image: predict_bands(net, image, 64),
)


def network(name: str) -> FCN:
    """In training mode, in double precision, with scores that differ."""
    torch.manual_seed(0)
    net = fc.create(name, 5)
    for parameter in net.score.parameters():
        torch.nn.init.normal_(parameter)
    return net.double().train()


def label(net: FCN, images: range) -> list[Tensor]:
    """Whole, in tiles or in bands, in turn; every tenth time the network is followed, too."""
    labels = []
    for number in images:
        random = torch.Generator().manual_seed(number)
        size = (160 + number % 61, 64 + number % 37)
        image = torch.rand(1, 3, *size, generator=random, dtype=torch.float64) * 255
        labels.append(WAYS[number % len(WAYS)](net, image))
        if number % 10 == 0:
            geometry.trace(net, size)
    return labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000, help="for each of two threads")
    images = range(parser.parse_args().images)
    expected = {name: label(network(name), images) for name in NETWORKS}
    shared = network(NETWORKS[0])
    cases = {
        "two networks": [(name, network(name)) for name in NETWORKS],
        "one network": [(NETWORKS[0], shared)] * 2,
    }
    for case, nets in cases.items():
        with ThreadPoolExecutor(len(nets)) as pool:
            found = list(pool.map(lambda net: label(net[1], images), nets))
        unlike = sum(
            not torch.equal(one, other)
            for (name, _), labels in zip(nets, found, strict=True)
            for one, other in zip(expected[name], labels, strict=True)
        )
        print(f"{case}: {unlike} of {len(nets) * len(images)} images labelled unlike one thread does")


if __name__ == "__main__":
    main()
