"""Gamma, blur, noise, JPEG compression and grey change values; cut-out covers them."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torchvision import tv_tensors

from fullyconv.data import IGNORE
from fullyconv.data.augmentation.appearance import changed_appearance
from fullyconv.data.augmentation.settings import Augmentation
from fullyconv.data.augmentation.transform import TrainTransform


def picture(channels=3, size=(48, 64), dtype=torch.uint8):
    random = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(random.normal(size=(channels, *size)), (0, 3, 3))
    smooth = (smooth - smooth.min()) / np.ptp(smooth) * 255
    return torch.from_numpy(smooth.astype(np.uint8 if dtype == torch.uint8 else np.float32))


def only(image, seed=0, inputs="image", **options):
    torch.manual_seed(seed)
    return changed_appearance(image, Augmentation(preset="none", **options), inputs)


def changed_ones(image, count=20, **options):
    return [new for seed in range(count) if ((new := only(image, seed, **options)) - image.float()).abs().max() > 0.01]


def test_nothing_is_done_by_the_preset_none():
    assert only(picture()) is not None
    image = picture()
    assert only(image) is image


def test_gray_images_have_the_luma_of_the_colours():
    image = picture()
    new = only(image, gray=1).numpy()
    assert (new == new[:1]).all()
    luma = np.asarray(Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L"), int)
    assert np.abs(new[0].astype(int) - luma).max() <= 1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_gamma_raises_brightness_to_a_power(dtype):
    image = picture(dtype=dtype)
    powers = []
    for seed in range(200):
        new = only(image, seed, gamma=0.5)
        inner = (image > 20) & (image < 230)
        ratio = torch.log((new[inner].float() / 255).clamp(1e-6)) / torch.log(image[inner].float() / 255)
        assert ratio.std() < (0.1 if dtype == torch.uint8 else 1e-3)
        powers.append(ratio.median().item())
    assert 1 / 1.5 - 0.01 <= min(powers) < 0.72
    assert 1.4 < max(powers) <= 1.51
    assert np.mean(np.array(powers) < 1) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_blur_is_scipys_gaussian_filter(dtype, channels):
    """The deviation that was drawn is found by trying; every second image is blurred, the others are left alone."""
    image = picture(channels, dtype=dtype)
    blurred = changed_ones(image, 40, blur=2.0)
    assert 10 <= len(blurred) <= 28
    for new in blurred[:4]:
        tried = [
            np.abs(ndimage.gaussian_filter(image.numpy().astype(float), (0, s, s), mode="mirror") - new.numpy()).max()
            for s in np.arange(0.2, 2.0, 0.01)
        ]
        assert min(tried) < 1.6
        assert np.arange(0.2, 2.0, 0.01)[np.argmin(tried)] <= 2


def test_noise_is_gaussian_of_up_to_the_deviation_and_independent_in_each_band():
    image = torch.full((4, 100, 100), 128, dtype=torch.uint8)
    noisy = [new.float() - 128 for new in changed_ones(image, 60, noise=20.0)]
    assert 20 <= len(noisy) <= 40
    deviations = [new.std().item() for new in noisy]
    assert max(deviations) == pytest.approx(20, abs=2)
    assert min(deviations) < 4
    assert all(abs(new.mean().item()) < 0.5 for new in noisy)
    rough = max(noisy, key=torch.std).flatten(1).numpy()
    assert np.abs(np.corrcoef(rough) - np.eye(4)).max() < 0.05
    assert np.mean(np.abs(rough) < rough.std()) == pytest.approx(0.683, abs=0.02)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_pillows(channels):
    """The quality that was drawn is found by trying: it is one of those from the lowest to 100."""
    image = picture(channels)
    mode = image[0] if channels == 1 else image.permute(1, 2, 0)
    decoded = []
    for quality in range(30, 101):
        file = io.BytesIO()
        Image.fromarray(mode.numpy()).save(file, "JPEG", quality=quality)
        back = np.asarray(Image.open(file), float)
        decoded.append(back[None] if channels == 1 else back.transpose(2, 0, 1))
    found = set()
    for new in changed_ones(image, 30, jpeg=30):
        far = [np.abs(back - new.numpy()).max() for back in decoded]
        assert min(far) == 0
        found.add(30 + int(np.argmin(far)))
    assert len(found) > 5


def test_images_of_more_than_8_bits_or_many_bands_are_not_compressed():
    assert changed_ones(picture(dtype=torch.float32), jpeg=10) == []
    assert changed_ones(picture(5), jpeg=10) == []
    assert changed_ones(picture(2), jpeg=10) == []
    assert len(changed_ones(picture(1), jpeg=10)) > 3


@pytest.mark.parametrize("inputs", ["rgb+depth", "rgb+hha", "hha"])
@pytest.mark.parametrize(
    "options", [{"gamma": 1.0}, {"blur": 3.0}, {"noise": 20.0}, {"jpeg": 5}, {"gray": 1.0}, {"color": 0.5}]
)
def test_depth_and_hha_are_left_alone(inputs, options):
    channels = {"rgb+depth": 4, "rgb+hha": 6, "hha": 3}[inputs]
    image = picture(channels, dtype=torch.float32 if inputs == "rgb+depth" else torch.uint8)
    image[:3] = image[:3].round()
    new = changed_ones(image, inputs=inputs, **options)
    assert bool(new) == (inputs != "hha")
    for one in new:
        assert torch.equal(one[3:], image[3:])
        assert one.dtype == image.dtype


@pytest.mark.parametrize("channels", [1, 3, 4, 5])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_all_together_keep_shape_type_and_range_and_the_mask(channels, dtype):
    options = Augmentation(preset="none", color=1, gray=0.5, gamma=2, blur=3, noise=60, jpeg=1)
    image = tv_tensors.Image(picture(channels, dtype=dtype))
    mask = tv_tensors.Mask(torch.randint(0, 5, (48, 64), dtype=torch.uint8))
    for seed in range(10):
        torch.manual_seed(seed)
        new, labels = TrainTransform(None, options)(image, mask)
        assert (new.dtype, new.shape) == (dtype, image.shape)
        assert 0 <= new.min() <= new.max() <= 255
        assert torch.equal(labels, mask)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3)])
def test_tiny_images_can_be_changed(size):
    options = Augmentation(preset="none", color=1, gray=0.5, gamma=2, blur=20, noise=60, jpeg=1, cutout=1, rotate=9)
    image = tv_tensors.Image(torch.full((3, *size), 100, dtype=torch.uint8))
    mask = tv_tensors.Mask(torch.zeros(size, dtype=torch.uint8))
    for seed in range(10):
        torch.manual_seed(seed)
        assert TrainTransform(None, options)(image, mask)[0].shape == image.shape


@pytest.mark.parametrize("labelings", [0, 2])
def test_cutout_covers_a_rectangle_by_the_mean_and_void(labelings):
    image = torch.rand(4, 40, 50) * 255
    mask = torch.ones((labelings,) * (labelings > 0) + (40, 50), dtype=torch.uint8)
    sides = []
    for seed in range(200):
        torch.manual_seed(seed)
        new, labels = TrainTransform(None, Augmentation(preset="none", cutout=0.5))(
            tv_tensors.Image(image), tv_tensors.Mask(mask)
        )
        covered = (labels == IGNORE).reshape(-1, 40, 50)
        assert torch.equal(covered[0], covered[-1])
        rows, columns = covered[0].any(1), covered[0].any(0)
        assert torch.equal(covered[0], rows[:, None] & columns)
        assert torch.equal(new[:, ~covered[0]], image[:, ~covered[0]])
        if covered.any():
            torch.testing.assert_close(new[:, covered[0]], image.mean((1, 2))[:, None].expand(4, int(covered[0].sum())))
        sides.append((int(rows.sum()), int(columns.sum())))
    assert max(height for height, _ in sides) == 20
    assert max(width for _, width in sides) == 25
    assert np.mean([height for height, _ in sides if height]) == pytest.approx(10.5, abs=1.5)
