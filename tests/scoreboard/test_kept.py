from __future__ import annotations

import json
import threading
import time

import pytest

from engine.errors import ConfigError, DataError
from engine.evaluation import kept as module
from engine.evaluation.kept import Ranks, kept
from engine.events import finish


class Computed:
    """Counts how often it was computed."""

    def __init__(self, value):
        self.value, self.times = value, 0

    def __call__(self):
        self.times += 1
        yield from ()
        return self.value


def test_a_result_is_computed_once_and_anew_for_another_key(tmp_path):
    path, compute = tmp_path / "a/b.json", Computed({"psnr": 20.0})
    for _ in range(2):
        assert finish(kept(path, "k", True, compute)) == {"psnr": 20.0}
    assert compute.times == 1
    finish(kept(path, "other", True, compute))
    assert compute.times == 2
    path.write_text("{ torn")
    assert finish(kept(path, "other", True, compute)) == {"psnr": 20.0}
    assert compute.times == 3


def test_another_process_s_result_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    path, compute = tmp_path / "a.json", Computed(1)

    def deliver():
        time.sleep(0.05)
        finish(kept(path, "k", True, Computed(7)))

    other = threading.Thread(target=deliver)
    other.start()
    assert finish(kept(path, "k", False, compute)) == 7
    other.join()
    assert compute.times == 0


def test_a_process_that_never_delivers_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    (tmp_path / "a.json").write_text(json.dumps({"key": "old", "value": 3}))
    with pytest.raises(DataError, match=r"a\.json: found no result of another process"):
        finish(kept(tmp_path / "a.json", "k", False, Computed(1)))


def test_ranks_come_from_torchrun_and_share_the_work_without_rest():
    assert Ranks.of_environment({}) == Ranks(0, 1)
    ranks = [Ranks.of_environment({"RANK": str(k), "WORLD_SIZE": "3"}) for k in range(3)]
    for index in range(10):
        assert [rank.mine(index) for rank in ranks].count(True) == 1
    for rank, world in (("2", "2"), ("-1", "2"), ("x", "1")):
        with pytest.raises(ConfigError, match=f"Found RANK={rank}"):
            Ranks.of_environment({"RANK": rank, "WORLD_SIZE": world})
