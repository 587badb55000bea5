"""What a cell has to compute, by hand, and which cells share a job for that."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notafluke import work
from notafluke.work import CELL, LEAST_JOBS, PASSES, RATE, STEP, TIME_STEP, Work, merged

RUN: dict[str, Any] = {
    "tune": "none",
    "tuning_seeds": 2,
    "online": False,
    "trainer": {"max_epochs": 3, "pretraining_epochs": 0, "batch_size": 32},
    "execution": {"block_size": 10},
}
SMALL = Work(weights=1000, time_steps=50, samples={"train": 320, "validation": 256, "test": 512})


class TestSeconds:
    def test_by_hand(self) -> None:
        """Three epochs of ten steps, three validations of one look, a test of two."""
        overhead = 30 * (STEP + 50 * TIME_STEP) + (3 + 2) * 50 * TIME_STEP / PASSES
        multiply_adds = (3 * 320 * PASSES + 3 * 256 + 512) * 50 * 1000
        assert SMALL.seconds(RUN, 10) == pytest.approx(CELL + overhead + 10 * multiply_adds / RATE)

    def test_a_further_block_costs_its_steps_again(self) -> None:
        one, two = SMALL.seconds(RUN, 10), SMALL.seconds(RUN, 11)
        assert two - one > 30 * (STEP + 50 * TIME_STEP)

    def test_tuning_trains_more(self) -> None:
        """Two seeds at three rates are one more block."""
        overhead = 30 * (STEP + 50 * TIME_STEP) + (3 + 2) * 50 * TIME_STEP / PASSES
        multiply_adds = (3 * 320 * PASSES + 3 * 256 + 512) * 50 * 1000
        expected = CELL + 2 * overhead + (10 + 6) * multiply_adds / RATE
        assert SMALL.seconds({**RUN, "tune": "lr"}, 10) == pytest.approx(expected)

    def test_online_learns_in_every_split(self) -> None:
        online = {**RUN, "online": True, "trainer": {"max_epochs": 1, "pretraining_epochs": 0, "batch_size": 1}}
        steps = 320 + 256 + 512
        expected = CELL + steps * (STEP + 50 * TIME_STEP) + PASSES * steps * 50 * 1000 / RATE
        assert SMALL.seconds(online, 1) == pytest.approx(expected)

    def test_earlier_data_are_trained_on_first(self) -> None:
        before = Work(SMALL.weights, SMALL.time_steps, {**SMALL.samples, "earlier": 320})
        pretrained = {**RUN, "trainer": {**RUN["trainer"], "pretraining_epochs": 3}}
        assert before.seconds(RUN, 10) == pytest.approx(SMALL.seconds(RUN, 10))
        added = 30 * (STEP + 50 * TIME_STEP) + 10 * PASSES * 3 * 320 * 50 * 1000 / RATE
        assert before.seconds(pretrained, 10) - SMALL.seconds(RUN, 10) == pytest.approx(added)


class TestMerged:
    def test_small_cells_share_a_job_and_large_ones_do_not(self) -> None:
        assert merged([2.0] * 40, ["a"] * 40, target=20.0) == [10, 10, 10, 10]
        assert merged([90.0, 90.0, 90.0], ["a"] * 3, target=20.0) == [1, 1, 1]
        assert merged([1.0, 1.0, 100.0, 1.0, 1.0], ["a"] * 5, target=20.0) == [2, 1, 2]

    def test_two_jobs_at_least(self) -> None:
        assert merged([1.0, 1.0, 1.0, 1.0], ["a"] * 4, target=20.0) == [2, 2]
        assert merged([1.0, 1.0], ["a", "a"], target=20.0) == [1, 1]
        assert merged([1.0], ["a"], target=20.0) == [1]
        assert merged([], [], target=20.0) == []

    def test_other_data_are_another_job(self) -> None:
        assert merged([1.0] * 8, [*"aaaabbbb"], target=4.0) == [4, 4]
        assert merged([1.0] * 8, [*"aabbaabb"], target=4.0) == [2, 2, 2, 2]

    def test_what_is_not_known_has_a_job_of_its_own(self) -> None:
        assert merged([1.0, 1.0, None, None, 1.0, 1.0], ["a"] * 6, target=2.0) == [2, 1, 1, 2]
        assert merged([None, None], ["a", "a"]) == [1, 1]

    @given(
        cells=st.lists(
            st.tuples(st.one_of(st.none(), st.floats(0.01, 1e4)), st.sampled_from("ab")), min_size=1, max_size=60
        ),
        target=st.floats(0.5, 100),
    )
    def test_whatever_the_cells(self, cells: list[tuple[float | None, str]], target: float) -> None:
        seconds, alike = [own for own, _ in cells], [own for _, own in cells]
        sizes = merged(seconds, alike, target)
        assert sum(sizes) == len(cells) and min(sizes) >= 1, "every cell once, in order"
        assert len(sizes) >= min(LEAST_JOBS, len(cells))
        start = 0
        for size in sizes:
            job = seconds[start : start + size]
            assert len(set(alike[start : start + size])) == 1
            if size > 1:
                known = [own for own in job if own is not None]
                assert len(known) == size
                # An even part has less than two targets, and its first and last cell reach out of it by a half.
                assert sum(known) < 2 * target + (known[0] + known[-1]) / 2 + 1e-6
            start += size

    @given(seconds=st.lists(st.floats(0.1, 5.0), min_size=50, max_size=200))
    def test_the_number_of_jobs_follows_the_work(self, seconds: list[float]) -> None:
        jobs = len(merged(seconds, ["a"] * len(seconds)))
        assert jobs <= max(LEAST_JOBS, sum(seconds) / work.TARGET)
