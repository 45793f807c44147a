"""Which images make up a batch: a function of the seed and its number."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fullyconv.data.dataset import SegmentationDataset
from fullyconv.errors import DataError
from fullyconv.training import batches as module
from fullyconv.training.batches import Batches, Draw, KeptSamples, TrainingSet, collate


def batches(start=0, count=10, images=7, batch_size=3, seed=0, **options):
    return list(Batches(images, batch_size, count, seed, lambda: start, lambda batch: 0, **options))


def test_going_on_from_a_batch_draws_what_would_have_been_drawn():
    assert batches(start=4, count=6) == batches(count=10)[4:]


def test_every_image_comes_once_before_any_comes_again():
    drawn = [draw.image for batch in batches(count=14, images=7, batch_size=3) for draw in batch]
    assert set(Counter(drawn).values()) == {6}
    assert all(set(drawn[i : i + 7]) == set(range(7)) for i in range(0, 42, 7))


def test_no_two_draws_share_their_augmentation():
    seeds = [draw.seed for batch in batches(count=50) for draw in batch]
    assert len(set(seeds)) == len(seeds)


def test_another_seed_draws_otherwise():
    assert batches(seed=1) != batches(seed=2)


@given(world=st.integers(1, 4), share=st.integers(1, 3), seed=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_processes_share_the_batch_that_one_would_draw(world, share, seed):
    size = world * share
    whole = batches(batch_size=size, seed=seed)
    shares = [batches(batch_size=size, seed=seed, rank=rank, world_size=world) for rank in range(world)]
    for number, batch in enumerate(whole):
        assert sorted(draw for part in shares for draw in part[number]) == sorted(batch)
        assert {len(part[number]) for part in shares} == {share}


def whole(height, width):
    return torch.zeros(3, height, width), torch.zeros(height, width), 0


def test_whole_images_of_one_size_are_a_batch():
    images, masks, _ = collate([whole(5, 7), whole(5, 7)])
    assert (images.shape, masks.shape) == ((2, 3, 5, 7), (2, 5, 7))


def test_whole_images_of_two_sizes_are_refused_in_words():
    with pytest.raises(DataError, match=r"5×7 and 6×7 pixels .* data\.batch_size=1 .* optimizer\.accumulate"):
        collate([whole(5, 7), whole(6, 7)])


class Counted(SegmentationDataset):
    """Three images of 48 bytes, with masks of 16; counts how often each is decoded."""

    def __init__(self):
        self.decoded = Counter()

    def __getitem__(self, index):
        self.decoded[index] += 1
        return torch.full((3, 4, 4), index, dtype=torch.uint8), torch.full((4, 4), index, dtype=torch.uint8), index


@pytest.mark.parametrize(("bytes_kept", "times"), [(10**6, [1, 1, 1]), (100, [1, 5, 5]), (0, [5, 5, 5])])
def test_what_was_decoded_is_kept_while_there_is_room(monkeypatch, bytes_kept, times):
    monkeypatch.setattr(module, "KEPT_BYTES", bytes_kept)
    dataset = Counted()
    samples = TrainingSet(KeptSamples(dataset), [lambda image, mask: (image + torch.randint(9, ()), mask)])
    rounds = [[samples[Draw(index, seed=5, transform=0)] for index in range(3)] for _ in range(5)]
    assert [dataset.decoded[index] for index in range(3)] == times
    for again in rounds[1:]:  # kept samples are not touched by what is done to them
        assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(again, rounds[0], strict=True))
