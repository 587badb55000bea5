"""The four folds of the walk-forward test: what lies where, through Hydra as a run is composed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from notafluke import components
from notafluke.configuration import compose_run
from notafluke.tasks.stock import Stock, StockData
from notafluke.tasks.stock_prices import arch_prices

CONF = Path(__file__).parents[2] / "conf"
FOLDS = [f"stock_fold_{fold}" for fold in range(1, 5)]


@pytest.fixture(scope="module")
def dates() -> list[str]:
    """The days of the embedded prices."""
    days: list[str] = arch_prices().arrays["dates"].tolist()
    return days


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> list[StockData]:
    """The data of the folds, composed as for a run."""
    found = []
    for name in FOLDS:
        task = components.build_task(compose_run(CONF, {"task": name}).config)
        assert isinstance(task, Stock)
        task.results = tmp_path_factory.mktemp("results")
        data = task.load(0, 0)
        assert isinstance(data, StockData)
        found.append(data)
    return found


def days_of(data: StockData) -> list[list[str]]:
    """The dates of the targets of each split."""
    return [list(split.index or ()) for split in (data.train, data.validation, data.test)]


def test_the_files_are_these_four() -> None:
    assert sorted(path.stem for path in (CONF / "task").glob("stock_fold_*.yaml")) == FOLDS


def test_test_periods_are_disjoint_and_adjacent(folds: list[StockData], dates: list[str]) -> None:
    tested = [day for data in folds for day in days_of(data)[2]]
    # Every day of 2003 to 2018 is tested once, in order.
    assert tested == [day for day in dates if "2003-01-01" <= day <= "2018-12-31"]
    years = [(days_of(data)[2][0][:4], days_of(data)[2][-1][:4]) for data in folds]
    assert years == [("2003", "2006"), ("2007", "2010"), ("2011", "2014"), ("2015", "2018")]


def test_nothing_of_training_and_validation_lies_after_the_test_begins(folds: list[StockData]) -> None:
    for data in folds:
        train, validation, test = days_of(data)
        assert train[-1] < validation[0] and validation[-1] < test[0]
        assert sorted(train + validation + test) == train + validation + test


def test_training_grows_by_what_lies_before_and_validation_is_two_years(
    folds: list[StockData], dates: list[str]
) -> None:
    for earlier, later in pairwise(folds):
        first, second = days_of(earlier)[0], days_of(later)[0]
        assert second[: len(first)] == first and len(second) > len(first) + 900
    for data in folds:
        train, validation, test = days_of(data)
        # Without a day between the splits; the first 20 returns are inputs only.
        assert train + validation + test == dates[21 : 21 + len(train + validation + test)]
        assert int(test[0][:4]) - int(validation[0][:4]) == 2 and validation[0][5:7] == "01"
    # What was tested in a fold has been learnt from, or validated on, in the next.
    for earlier, later in pairwise(folds):
        assert set(days_of(earlier)[2]) <= {day for part in days_of(later)[:2] for day in part}
