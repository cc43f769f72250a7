"""Results on disk that survive a kill and that several processes share.

Every result is a JSON file with the digest of all that it depends on; a file with another digest is ignored. Processes
started by `torchrun` divide the scenes and read each other's files; they do not communicate otherwise.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import ConfigError, DataError
from engine.events import Run, Step
from engine.files import write_json

POLL_SECONDS = 1.0
PATIENCE_SECONDS = 7200.0
"""Longest wait for one result of another process; the slowest, a small model, takes half an hour at most."""


@dataclass(frozen=True)
class Ranks:
    """Rank of this process, and the number of processes."""

    rank: int = 0
    world: int = 1

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Ranks:
        """Ranks from torchrun's RANK and WORLD_SIZE; a single process without them.

        Raises:
            ConfigError: If the two contradict each other.
        """
        found = environment.get("RANK", "0"), environment.get("WORLD_SIZE", "1")
        if not all(text.isdecimal() for text in found) or not int(found[0]) < int(found[1]):
            raise ConfigError(
                f"Found RANK={found[0]} and WORLD_SIZE={found[1]}, expected a rank below the number of processes; "
                "start several processes with torchrun, or unset both."
            )
        return cls(int(found[0]), int(found[1]))

    def mine(self, index: int) -> bool:
        """True if the index-th piece of work is this process's."""
        return index % self.world == self.rank


def kept(path: Path, key: str, mine: bool, compute: Callable[[], Run[Any]]) -> Run[Any]:
    """A result, read from its file if that has this key; else computed and written, or waited for.

    Args:
        path: The JSON file.
        key: Digest of everything the result depends on.
        mine: True to compute it; otherwise another process is expected to.
        compute: Returns it as plain JSON values.

    Raises:
        DataError: If the other process does not deliver in time.
    """
    known = _read(path, key)
    if known is None and mine:
        value = yield from compute()
        write_json(path, {"key": key, "value": value})
        return value
    begun = time.monotonic()
    while known is None:
        if time.monotonic() - begun > PATIENCE_SECONDS:
            raise DataError(
                f"{path}: found no result of another process within {PATIENCE_SECONDS / 60:.0f} minutes, expected "
                "torchrun's processes to go on; start the command again, finished results are kept."
            )
        time.sleep(POLL_SECONDS)
        yield Step(stage="wait", index=0, total=1, item=path.name)
        known = _read(path, key)
    return known["value"]


def _read(path: Path, key: str) -> dict[str, Any] | None:
    """Result in a file; None if it has another key or is damaged."""
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.get("key") == key else None
