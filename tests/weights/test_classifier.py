"""A backbone that adopts a classifier's weights computes the classifier's features."""

import pytest
import timm
import torch

import fullyconv as fc
from fullyconv.errors import WeightsError
from fullyconv.model.backbones.smallvgg import SmallVGG
from fullyconv.weights.classifier import adopt


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_efficientnet", "test_byobnet"])
def test_the_last_tap_is_the_classifiers_last_map(name):
    torch.manual_seed(0)
    classifier = timm.create_model(name, num_classes=5).eval()
    net = fc.create(f"fcn8s-{name}", num_classes=3).eval()
    adopt(net, classifier)
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = classifier.forward_intermediates(images, intermediates_only=True)[-1]
        torch.testing.assert_close(net.backbone(images)[-1], expected)


def test_smallvgg_is_a_classifier_and_a_backbone():
    torch.manual_seed(0)
    classifier = SmallVGG(num_classes=5).eval()
    net = fc.create("fcn8s-smallvgg", num_classes=3).eval()
    adopt(net, classifier)
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        pooled = net.backbone(images)[-1].mean((2, 3))
        torch.testing.assert_close(classifier.score(pooled), classifier(images))


def test_another_network_is_refused():
    net = fc.create("fcn8s-test_resnet", num_classes=3)
    with pytest.raises(WeightsError, match=r"not the backbone of fcn8s-test_resnet: \S+ is \(.*\), the classifier has"):
        adopt(net, timm.create_model("test_convnext"))
