"""Whose turn it is, and which frame is worth drawing: on machines and lines of known speed."""

from __future__ import annotations

import threading

import pytest

from app.view import pacing
from app.view.pacing import FairSlot, Pace, Size
from tests.waiting import until

ASPECT = 1.5
COST = {"preview": 1.0, "standard": 2.0, "high": 5.0}
"""What a pixel costs, against one in preview."""


def experienced(per_pixel: float, overhead: float = 1e-3, line: tuple[float, float] = (0.01, 1e-9)):
    """The pace of a machine that draws a preview's pixel in `per_pixel` seconds, over a line of known speed."""
    pace = Pace()
    for rows in (96, 256, 400) * 20:
        pixels = round(rows * ASPECT) * rows
        for quality, cost in COST.items():
            pace.drew(Size(quality, rows), pixels, overhead + cost * per_pixel * pixels)
        pace.delivered(pixels, line[0] + line[1] * pixels)
    return pace


def test_a_fast_machine_moves_in_standard_quality_with_the_canvas_own_pixels():
    assert experienced(1e-9).moving(ASPECT, 480, 1) == Size("standard", 480)


def test_a_moving_frame_takes_no_more_rows_than_are_allowed():
    assert experienced(1e-9).moving(ASPECT, 2000, 1).rows == pacing.MOVING_ROWS


@pytest.mark.parametrize("per_pixel", [1e-7, 2e-7, 4e-7])
def test_a_slower_machine_moves_in_preview_and_keeps_to_its_time(per_pixel):
    size = experienced(per_pixel).moving(ASPECT, 500, 1)
    assert size.quality == "preview"
    assert size.rows % pacing.ROW_STEP == 0
    seconds = 1e-3 + per_pixel * ASPECT * size.rows**2
    assert 0.7 * pacing.MOVING_S < seconds < 1.1 * pacing.MOVING_S


def test_even_the_slowest_machine_shows_something():
    assert experienced(1e-4).moving(ASPECT, 500, 1) == Size("preview", pacing.LEAST_ROWS)


def test_those_who_look_at_the_same_time_share():
    pace = experienced(1e-7)
    alone, shared = pace.moving(ASPECT, 500, 1), pace.moving(ASPECT, 500, 4)
    assert shared.rows**2 < 0.35 * alone.rows**2


def test_a_narrow_line_gets_smaller_frames_and_a_long_one_does_not():
    rows = {
        name: experienced(1e-9, line=line).moving(ASPECT, 500, 1).rows
        for name, line in {
            "quick": (0.01, 1e-9),
            "narrow": (0.01, 1e-6),
            "long": (0.3, 1e-8),
        }.items()
    }
    assert rows["quick"] == rows["long"] == 500
    assert rows["narrow"] < 250


def test_a_canvas_smaller_than_the_smallest_frame_gets_its_own_rows():
    assert experienced(1e-9).moving(ASPECT, 40, 1).rows == 40
    assert experienced(1e-4).moving(ASPECT, 40, 1).rows == 40


def test_at_rest_a_fast_machine_shows_the_best_at_once():
    (last,) = experienced(1e-9).resting(ASPECT, 540, Size("preview", 256))
    assert last == Size("high", 540, 1)


def test_at_rest_a_slower_machine_shows_something_better_first():
    first, last = experienced(3e-7).resting(ASPECT, 540, Size("preview", 160))
    assert (first.quality, first.rows) == ("standard", 540)
    assert (last.quality, last.rows) == ("high", 540)
    assert last.bands > first.bands > 1


def test_what_is_seen_already_is_not_drawn_again_before_the_best():
    (last,) = experienced(3e-7).resting(ASPECT, 540, Size("standard", 540))
    assert last.quality == "high"


@pytest.mark.parametrize("per_pixel", [1e-6, 1e-5, 1e-4])
def test_no_refinement_has_fewer_rows_than_the_one_before_it(per_pixel):
    rows = [size.rows for size in experienced(per_pixel).resting(ASPECT, 540, Size("preview", 128))]
    assert rows == sorted(rows)
    assert rows[0] >= 128


def test_a_canvas_beyond_the_limit_gets_the_limit():
    *_, last = experienced(1e-10).resting(ASPECT, 5000, Size("preview", 256))
    assert last.rows == pacing.RESTING_ROWS


def test_the_slot_is_handed_out_in_the_order_of_asking():
    slot, order, threads = FairSlot(), [], []

    def ask(number: int) -> None:
        with slot:
            order.append(number)

    with slot:
        for number in range(5):
            threads.append(threading.Thread(target=ask, args=(number,)))
            threads[-1].start()
            until(lambda: slot._next == len(threads) + 1, "the ticket")
    for thread in threads:
        thread.join(5)
    assert order == [0, 1, 2, 3, 4]


def test_the_slot_knows_how_many_ask_for_it(monkeypatch):
    monkeypatch.setattr(pacing, "CROWD_S", 1e9)
    slot = FairSlot()
    assert slot.crowd == 1

    def ask() -> None:
        with slot:
            pass

    for _ in range(3):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        ask()
    assert 2 <= slot.crowd <= 4  # thread numbers may be used again
    monkeypatch.setattr(pacing, "CROWD_S", 0.0)
    assert slot.crowd == 1
