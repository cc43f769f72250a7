"""Views and scenes in the order of their numbers."""

from __future__ import annotations

import pytest

from engine.data.names import in_order, series_numbers


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        ("10 9 2 0 100", "0 2 9 10 100"),
        ("r_10 r_2 r_1", "r_1 r_2 r_10"),
        ("000010 000002 000001", "000001 000002 000010"),
        ("10 02 003 1", "1 02 003 10"),
        ("2 10 front", "10 2 front"),
        ("left2 right10 right2", "left2 right10 right2"),
        ("10fa 9ab 1e", "10fa 1e 9ab"),
    ],
)
def test_series_go_by_number_and_everything_else_by_text(names, ordered):
    assert in_order(names.split()) == ordered.split()


def test_padded_names_keep_the_order_of_text():
    names = [f"{number:06d}" for number in range(1200)]
    assert in_order(names[::-1]) == sorted(names)


def test_numbers_are_known_of_series_alone():
    assert series_numbers(["a07", "a3"]) == {"a07": 7, "a3": 3}
    assert (
        series_numbers(["a07", "b3"]) is series_numbers(["a", "a1"]) is series_numbers([]) is None
    )
