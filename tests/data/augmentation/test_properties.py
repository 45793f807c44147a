"""What is true of augmentation whatever the settings."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors

from fullyconv.data import IGNORE
from fullyconv.data.augmentation.copy_paste import Donors
from fullyconv.data.augmentation.settings import PRESETS, Augmentation
from fullyconv.data.augmentation.transform import TrainTransform

LABELS = 6


def drawn(share=1.0):
    return st.one_of(st.just(0.0), st.floats(0, share))


GEOMETRY = {
    "flip": drawn(),
    "vertical_flip": drawn(),
    "quarter_turns": drawn(),
    "rotate": drawn(180),
    "shear": drawn(45),
    "elastic": drawn(4),
    "elastic_spacing": st.integers(16, 60),
    "scale": st.tuples(st.floats(0.3, 3), st.floats(0.3, 3)).map(sorted),
}
APPEARANCE = {
    "color": drawn(),
    "gray": drawn(),
    "gamma": drawn(3),
    "blur": drawn(5),
    "noise": drawn(60),
    "jpeg": st.one_of(st.none(), st.integers(1, 100)),
    "cutout": drawn(),
    "copy_paste": drawn(),
}
SIZE = st.tuples(st.integers(1, 60), st.integers(1, 60))


def sample(size, channels, dtype, labelings=0):
    """Blocks of 8 pixels of one class, and an image whose first channel is 40 times the class."""
    blocks = torch.randint(0, LABELS, (-(-size[0] // 8), -(-size[1] // 8)))
    mask = blocks.repeat_interleave(8, 0).repeat_interleave(8, 1)[: size[0], : size[1]].to(torch.uint8)
    image = torch.cat([mask[None] * 40, torch.randint(0, 256, (channels - 1, *size), dtype=torch.uint8)]).to(dtype)
    return image, torch.stack([mask] * labelings) if labelings else mask.contiguous()


@settings(max_examples=100, deadline=None)
@given(
    options=st.fixed_dictionaries(GEOMETRY | APPEARANCE, optional={"preset": st.sampled_from([*PRESETS])}),
    size=SIZE,
    crop=st.one_of(st.none(), SIZE),
    channels=st.sampled_from([1, 3, 4, 5]),
    dtype=st.sampled_from([torch.uint8, torch.float32]),
    labelings=st.sampled_from([0, 2]),
    balance=drawn(),
    seed=st.integers(0, 10**6),
)
def test_samples_have_the_crops_size_no_new_classes_and_repeat(
    options, size, crop, channels, dtype, labelings, balance, seed
):
    torch.manual_seed(seed)
    image, mask = sample(size, channels, dtype, labelings)
    rarity = [torch.rand(LABELS) for _ in range(max(1, labelings))]
    other = sample((30, 40), channels, dtype, labelings)
    donors = Donors([(*other, 0)], torch.ones(1, LABELS * max(1, labelings), dtype=torch.bool), rarity)
    transform = TrainTransform(crop, Augmentation(**options), "image", balance if crop else 0, rarity, None, donors)
    results = []
    for _ in range(2):
        torch.manual_seed(seed)
        results.append(transform(tv_tensors.Image(image), tv_tensors.Mask(mask)))
    new, labels = results[0]
    assert all(torch.equal(one, again) for one, again in zip(*results, strict=True))
    expected = crop or size
    assert new.shape == (channels, *expected)
    assert labels.shape == mask.shape[:-2] + expected
    assert (new.dtype, labels.dtype) == (dtype, torch.uint8)
    assert 0 <= new.min() <= new.max() <= 255
    own = {*mask.unique().tolist(), *(other[1].unique().tolist() if options["copy_paste"] else ())}
    assert {*labels.unique().tolist()} <= {*own, IGNORE}


@settings(max_examples=100, deadline=None)
@given(options=st.fixed_dictionaries(GEOMETRY), size=SIZE, crop=st.one_of(st.none(), SIZE), seed=st.integers(0, 10**6))
def test_image_and_mask_move_together(options, size, crop, seed):
    """The image says from which place each pixel was taken, the mask from which pixel: the one around that place."""
    torch.manual_seed(seed)
    options["scale"] = [max(1.0, factor) for factor in options["scale"]]  # antialiasing is uneven at borders
    places = torch.stack(torch.meshgrid(*map(torch.arange, size), indexing="ij"))
    transform = TrainTransform(crop, Augmentation(preset="none", **options))
    changed = transform(tv_tensors.Image(places + 0.5), tv_tensors.Mask(places.to(torch.uint8)))
    new, labels = (part.as_subclass(torch.Tensor) for part in changed)
    inside = labels[0] != IGNORE
    assert torch.equal(inside, labels[1] != IGNORE)
    assert ((new - labels - 0.5)[:, inside].abs() <= 0.5 + 1e-3).all()
    outside = new[:, ~inside]
    assert (outside == outside[:, :1]).all()
