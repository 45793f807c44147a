"""With the same weights our networks are the release's: OpenCV's DNN, plain torch and torchvision say so.

The networks are thin (a sixteenth of the channels); benchmarks/sameness.py has them whole.
"""

import pytest
import torch

from tests import reference
from tests.caffe import nets
from tests.sameness import (
    CASES,
    TORCHVISION,
    WITHOUT_BORDER,
    blobs_of,
    caffe_inputs,
    opencv,
    ours,
    ours_of_torchvision,
    picture,
    torchvision_input,
    torchvision_network,
    weights_of,
)
from tests.thinning import THIN, make_thin

SIZES = [(97, 64), (101, 75), (64, 97), (160, 203)]
by_name = {case.name: case for case in CASES}


@pytest.fixture(autouse=True)
def thin(monkeypatch):
    make_thin(monkeypatch)


class Agreement:
    """Scores within 1e-4 of the largest at every size; labels equal on 99.99% of all sizes' pixels."""

    def __init__(self):
        self.equal = self.pixels = 0

    def add(self, scores, labels, expected):
        assert scores.shape == expected.shape
        assert (scores - expected).abs().max() < 1e-4 * expected.abs().max()
        self.equal += int((labels == expected.argmax(1)).sum())
        self.pixels += labels.numel()

    def add_heads(self, net, images, expected):
        with torch.inference_mode():
            logits, labels = net(images), net.predict(images)
        planes = labels.unbind(1) if net.heads else [labels]
        for scores, plane, one in zip(logits.split([x.shape[1] for x in expected], 1), planes, expected, strict=True):
            self.add(scores, plane, one)

    def check(self):
        assert self.equal >= 0.9999 * self.pixels > 0


@pytest.mark.parametrize("name", list(by_name))
def test_the_release_s_network_is_opencv_s_and_plain_torch_s(name):
    case = by_name[name]
    caffe = case.net(thin=THIN)
    weights = weights_of(case, caffe)
    blobs = blobs_of(weights)
    net, run = ours(case, caffe, weights), opencv(caffe, weights)
    with_opencv, with_torch = Agreement(), Agreement()
    for size in SIZES:
        images = picture(net.in_channels, size)
        inputs = caffe_inputs(case, images)
        with_opencv.add_heads(net, images, run(*inputs))
        with torch.inference_mode():
            with_torch.add_heads(net, images, case.run(blobs, *inputs))
    with_opencv.check()
    with_torch.check()


@pytest.mark.parametrize("name", list(by_name))
def test_the_pictures_tell_classes_apart(name):
    """Where one class is seen everywhere every label is right by chance."""
    case = by_name[name]
    caffe = case.net(thin=THIN)
    inputs = caffe_inputs(case, picture(sum(caffe.inputs.values()), SIZES[-1]))
    with torch.inference_mode():
        for scores in case.run(blobs_of(weights_of(case, caffe)), *inputs):
            assert len(scores.argmax(1).unique()) > 1


@pytest.mark.parametrize("name", list(WITHOUT_BORDER))
def test_without_the_border_of_100_it_is_plain_torch_s(name):
    run = WITHOUT_BORDER[name]
    case = by_name[name]
    caffe = case.net(thin=THIN)
    weights = weights_of(case, caffe)
    net, blobs = ours(case, caffe, weights, "same"), blobs_of(weights)
    agreement = Agreement()
    for size in SIZES:
        images = picture(3, size)
        with torch.inference_mode():
            agreement.add_heads(net, images, [run(blobs, *caffe_inputs(case, images))])
    agreement.check()


def test_without_the_border_of_100_the_coarse_scores_are_opencv_s():
    """Caffe has no layer that repeats the last cell, so OpenCV goes as far as score_fr, on the extended image."""
    case = by_name["VOC 32s VGG-16"]
    caffe = case.net(thin=THIN)
    weights = weights_of(case, caffe)
    net, run = ours(case, caffe, weights, "same"), opencv(nets.vgg16(thin=THIN, padding="same"), weights)
    agreement = Agreement()
    for size in SIZES:
        images = picture(3, size)
        (expected,) = run(*(reference.extended(x) for x in caffe_inputs(case, images)))
        with torch.inference_mode():
            scores = net.scores(images)
        agreement.add(scores, scores.argmax(1), expected)
    agreement.check()


@pytest.mark.parametrize("name", list(TORCHVISION))
def test_torchvision_s_network_is_torchvision_s(name):
    theirs = torchvision_network(name)
    net = ours_of_torchvision(name, theirs)
    images = picture(3, (101, 75))
    with torch.inference_mode():
        expected = theirs(torchvision_input(images))["out"]
    assert len(expected.argmax(1).unique()) > 1
    agreement = Agreement()
    agreement.add_heads(net, images, [expected])
    agreement.check()
