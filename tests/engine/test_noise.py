"""Randomness that is a function of its name."""

import pytest
import torch

from engine.noise import BatchNoise, Noise


def draws(noise, stage="a", step=0):
    return [
        noise.normal((2, 3), stage, step),
        noise.integers(0, 1000, (2,), stage, step),
    ]


def test_the_same_seed_and_place_draw_the_same():
    for first, second in zip(draws(Noise(3)), draws(Noise(3)), strict=True):
        assert torch.equal(first, second)


def test_other_seeds_stages_and_steps_draw_something_else():
    first = draws(Noise(3))[0]
    for other in (Noise(4), "b", Noise(13)):
        other = draws(Noise(3), other) if isinstance(other, str) else draws(other)
        assert not torch.equal(first, other[0])
    assert not torch.equal(first, draws(Noise(3), "a", 1)[0])


def test_draws_do_not_depend_on_what_was_drawn_before_or_on_the_global_seed():
    noise = Noise(5)
    torch.manual_seed(1)
    first = noise.normal((4,), "x", 7)
    noise.uniform((100,), "y")
    torch.manual_seed(2)
    assert torch.equal(noise.normal((4,), "x", 7), first)


def test_an_item_of_a_batch_draws_what_it_would_alone():
    batch = Noise(10).batch(3)
    assert batch == BatchNoise((10, 11, 12))
    normal = batch.normal((3, 2, 5), "x_T", 4)
    integers = batch.integers(0, 1000, (3,), "t", 2)
    for k in range(3):
        alone = Noise(10 + k)
        assert torch.equal(normal[k], alone.normal((1, 2, 5), "x_T", 4)[0])
        assert torch.equal(integers[k], alone.integers(0, 1000, (1,), "t", 2)[0])


def test_a_batch_of_another_size_is_an_error():
    with pytest.raises(ValueError, match="found a batch of 2, expected 3"):
        Noise(0).batch(3).normal((2, 4), "x")


def test_distributions_are_what_their_names_say():
    noise = Noise(0)
    normal, uniform = noise.normal((100_000,), "n"), noise.uniform((100_000,), "u")
    assert float(normal.mean()) == pytest.approx(0, abs=0.02)
    assert float(normal.std()) == pytest.approx(1, abs=0.02)
    assert 0 <= float(uniform.min()) < 0.001 < 0.999 < float(uniform.max()) < 1
    counts = torch.bincount(noise.integers(2, 6, (4000,), "i"), minlength=7)
    assert counts[[0, 1, 6]].sum() == 0
    assert (counts[2:6] > 850).all()
    assert sorted(noise.permutation(50, "p").tolist()) == list(range(50))


def test_chunks_of_pixels_cover_everything_once_and_then_repeat():
    chunks = [Noise(1).pixels(120, 10, chunk, "pixels") for chunk in range(13)]
    assert sorted(torch.cat(chunks[:12]).tolist()) == list(range(120))
    assert torch.equal(chunks[12], chunks[0])
    assert not torch.equal(chunks[0], torch.arange(10))


def test_all_pixels_come_in_order_where_there_are_few():
    assert torch.equal(Noise(1).pixels(7, 10, 3, "pixels"), torch.arange(7))


def test_small_chunks_of_many_pixels_are_drawn_from_all_of_them_anew():
    first, second = (Noise(1).pixels(10_000, 500, chunk, "pixels") for chunk in range(2))
    assert not torch.equal(first, second)
    assert first.min() >= 0
    assert 9900 < first.max() < 10_000
    assert len(first.unique()) > 470
