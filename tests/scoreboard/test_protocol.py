from __future__ import annotations

import dataclasses

import pytest
from scipy import stats

from engine.errors import ConfigError
from engine.evaluation.intervals import Interval, interval, paired
from engine.evaluation.protocol import FEW, MANY, PLACES, BoardOptions, given_views
from engine.methods.base import fit_options_for
from engine.methods.ssdnerf.options import GROWTH, PAPER_FIT, FitOptions, for_views
from engine.methods.ssdnerf.published import PUBLISHED
from tests.scoreboard.counting import CountingMethod


def test_the_given_views_are_the_papers():
    assert given_views(1) == (64,)
    assert given_views(2) == (64, 104)
    assert given_views(4) == (0, 83, 167, 250)
    assert given_views(8) == (0, 36, 71, 107, 143, 179, 214, 250)
    for count in (*FEW, *MANY):
        places = given_views(count)
        assert len(set(places)) == count
        assert 0 <= min(places) <= max(places) < PLACES


def test_the_papers_settings_grow_as_published():
    table = {
        1: (25, 4, 0.005),
        2: (50, 4, 0.01),
        4: (100, 4, 0.02),
        8: (160, 5, 0.04),
        16: (200, 8, 0.08),
        32: (200, 8, 0.08),
    }
    for count, (outer, inner, rate) in table.items():
        options = for_views(PAPER_FIT, count)
        assert (options.finetune_steps, options.inner_steps) == (outer, inner)
        assert options.learning_rate == pytest.approx(rate)
        same = {"finetune_steps": 25, "inner_steps": 4, "learning_rate": 0.005}
        assert dataclasses.replace(options, **same) == PAPER_FIT


@pytest.mark.parametrize("mode", ["ours", "paper"])
def test_one_view_keeps_the_tuned_settings_and_more_views_never_take_fewer_steps(mode):
    method = CountingMethod()
    tuned = (
        method.presets["reconstruct"]["ours"]
        if mode == "ours"
        else method.presets["reconstruct"]["paper"]
    )
    assert fit_options_for(method, mode, 1) == tuned
    grown = [fit_options_for(method, mode, count) for count in (*FEW, *MANY)]
    steps = [options.finetune_steps * options.inner_steps for options in grown]
    assert steps == sorted(steps)
    assert steps[-1] > steps[0]


def test_numbers_of_views_between_two_rows_take_the_lower_one():
    assert for_views(PAPER_FIT, 3) == for_views(PAPER_FIT, 2)
    assert for_views(FitOptions(), 40) == for_views(FitOptions(), 32)
    assert set(GROWTH) == {"ours", "paper"}
    with pytest.raises(ConfigError, match="Found 0 views"):
        for_views(FitOptions(), 0)


def test_a_quick_board_is_never_larger_than_asked():
    quick = BoardOptions(scenes=1, samples=0).quick()
    assert (quick.scenes, quick.samples) == (1, 0)
    assert quick.dense_scenes <= 1


def test_an_interval_is_students_t():
    values = [20.0, 22.5, 21.0, 25.0, 19.5]
    found = interval(values)
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.mean, found.low, found.high) == pytest.approx((21.6, low, high))
    assert interval([3.0]) == Interval(3.0, 3.0, 3.0)


def test_a_paired_difference_does_not_know_how_hard_the_scenes_are():
    ours, theirs = [21.0, 31.0, 41.0], [20.0, 30.0, 40.0]
    assert paired(ours, theirs) == Interval(1.0, 1.0, 1.0)
    low, high = stats.ttest_rel([1.0, 4.0, 2.5], [0.5, 2.0, 2.0]).confidence_interval(0.95)
    found = paired([1.0, 4.0, 2.5], [0.5, 2.0, 2.0])
    assert (found.low, found.high) == pytest.approx((low, high))


def test_what_was_published_of_other_objects_is_not_told_of_chairs_and_tables():
    assert PUBLISHED["vehicles"]["views"]["1"]["psnr"] == 23.52
    assert PUBLISHED["chairs"]["views"]["2"]["psnr"] == 26.94
    assert PUBLISHED["tables"]["views"] == {}
    for name in ("chairs", "tables"):
        assert PUBLISHED[name]["ablation"] == PUBLISHED["vehicles"]["ablation"]
        assert PUBLISHED[name]["source"] != PUBLISHED["vehicles"]["source"]
