"""The order of files that belong to a series: by number where they are numbered, by text otherwise."""

from __future__ import annotations

import re
from collections.abc import Sequence

NUMBERED = re.compile(r"(.*?)(\d+)", re.DOTALL)


def in_order(names: Sequence[str]) -> list[str]:
    """Names of one series in its order: `2` comes before `10`, with leading zeros or without.

    Names that are not all one text followed by a number (hashes, words) keep the order of text.
    """
    numbers = series_numbers(names)
    if numbers is None:
        return sorted(names)
    return sorted(names, key=lambda name: (numbers[name], name))


def series_numbers(names: Sequence[str]) -> dict[str, int] | None:
    """The number of every name, or None where the names are no series: one text, then a number."""
    found = [NUMBERED.fullmatch(name) for name in names]
    if not found or None in found or len({match[1] for match in found}) > 1:
        return None
    return {name: int(match[2]) for name, match in zip(names, found, strict=True)}
