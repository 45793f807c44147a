"""Which images make up a step: a function of the seed and the step."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from fullyconv.training.batches import Batches


def batches(start=0, steps=10, images=7, batch_size=3, seed=0, **options):
    return list(Batches(images, batch_size, steps, seed, lambda: start, lambda step: 0, **options))


def test_going_on_from_a_step_draws_what_would_have_been_drawn():
    assert batches(start=4, steps=6) == batches(steps=10)[4:]


def test_every_image_comes_once_before_any_comes_again():
    drawn = [draw.image for batch in batches(steps=14, images=7, batch_size=3) for draw in batch]
    assert set(Counter(drawn).values()) == {6}
    assert all(set(drawn[i : i + 7]) == set(range(7)) for i in range(0, 42, 7))


def test_no_two_draws_share_their_augmentation():
    seeds = [draw.seed for batch in batches(steps=50) for draw in batch]
    assert len(set(seeds)) == len(seeds)


def test_another_seed_draws_otherwise():
    assert batches(seed=1) != batches(seed=2)


@given(world=st.integers(1, 4), share=st.integers(1, 3), seed=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_processes_share_the_batch_that_one_would_draw(world, share, seed):
    size = world * share
    whole = batches(batch_size=size, seed=seed)
    shares = [batches(batch_size=size, seed=seed, rank=rank, world_size=world) for rank in range(world)]
    for step, batch in enumerate(whole):
        assert sorted(draw for part in shares for draw in part[step]) == sorted(batch)
        assert {len(part[step]) for part in shares} == {share}
