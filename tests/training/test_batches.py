"""Which images make up a batch: a function of the seed and its number."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fullyconv.errors import DataError
from fullyconv.training.batches import Batches, collate


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
