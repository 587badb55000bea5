"""Real lottery draws: the file with its repairs and refusals, the drum by date, splits, leakage, chance."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from notafluke.errors import UsageError
from notafluke.tasks.contract import require_contract
from notafluke.tasks.dataset import prepare, read_prepared
from notafluke.tasks.lotto import Lotto, lotto
from notafluke.tasks.lotto_csv import DRUMS, LottoFile, drum_size
from notafluke.tasks.lotto_draws import LottoDraws, LottoMaxMillions

HEADER = '"PRODUCT","DRAW NUMBER","SEQUENCE NUMBER","DRAW DATE",'
SEVEN = HEADER + ",".join(f'"NUMBER DRAWN {place}"' for place in range(1, 8)) + ',"BONUS NUMBER"'
SIX = HEADER + ",".join(f'"NUMBER DRAWN {place}"' for place in range(1, 7)) + ',"BONUS NUMBER"'
FIRST = datetime.date(2019, 4, 5)


def line(draw: int, numbers: Sequence[int], sequence: int = 0, date: str = "", product: str = "LOTTO MAX") -> str:
    date = date or (FIRST + datetime.timedelta(weeks=draw - 1)).isoformat()
    return f'"{product}",{draw},{sequence},"{date}",{",".join(map(str, numbers))},{0 if sequence else 9}'


def seven(rng: np.random.Generator, drum: int = 49) -> list[int]:
    return sorted((rng.permutation(drum)[:7] + 1).tolist())


def draws(count: int, seed: int = 0, maxmillions: int = 0) -> list[str]:
    """Lines of weekly draws; the drum grows with the seventh, of 2019-05-17."""
    rng = np.random.default_rng(seed)
    lines = []
    for draw in range(1, count + 1):
        drum = 49 if draw < 7 else 50
        lines += [line(draw, seven(rng, drum), sequence) for sequence in range(1 + maxmillions)]
    return lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "LOTTOMAX.csv"


def write(path: Path, lines: Sequence[str], header: str = SEVEN) -> str:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return str(path)


def refused(source: str, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        lotto(source=source, **options).check()
    return str(caught.value)


# --- from the file to the metrics, by hand -------------------------------------------------------------------------


def test_a_few_draws_by_hand(path: Path) -> None:
    lines = [
        line(1, [1, 2, 3, 4, 5, 6, 7], date="2019-05-03"),
        line(2, [2, 3, 4, 5, 6, 7, 8], date="2019-05-07"),
        line(3, [3, 4, 5, 6, 7, 8, 9], date="2019-05-10"),
        line(4, [4, 5, 6, 7, 8, 9, 50], date="2019-05-14"),
    ]
    task = lotto(source=write(path, lines), window=1, train_size=1, validation_size=1, test_size=1)
    task.check()
    data = task.load(0, 0)
    require_contract(task, data)
    assert isinstance(task, LottoDraws) and not task.varies_with_seed and task.advance == 1
    assert task.input_size == task.output_size == 50
    assert np.flatnonzero(data.train.inputs[0, 0]).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert np.flatnonzero(data.train.numbers[0]).tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert np.flatnonzero(data.test.inputs[0, 0]).tolist() == [2, 3, 4, 5, 6, 7, 8]
    assert (data.train.index, data.validation.index, data.test.index) == (
        ("2019-05-07",),
        ("2019-05-10",),
        ("2019-05-14",),
    )
    share = 7 / 50
    hits, log_loss = task.baselines(data)
    assert (hits.value, hits.over_seeds, log_loss.over_seeds) == (pytest.approx(7 * share), False, False)
    assert log_loss.value == pytest.approx(-(share * np.log(share) + (1 - share) * np.log(1 - share)))
    guess = np.full((1, 50), 0.14, np.float32)
    guess[0, [3, 4, 49]] = 0.5  # three of the draw; the other four places are shared by 47, of which four are drawn
    found = task.test_metrics(data, guess, guess)
    assert found["hits"] == pytest.approx(3 + 4 * 4 / 47)
    mse = (3 * 0.5**2 + 4 * 0.86**2 + 43 * 0.14**2) / 50
    assert found["mse"] == pytest.approx(mse, rel=1e-6)
    log = -(3 * np.log(0.5) + 4 * np.log(0.14) + 43 * np.log(0.86)) / 50
    assert found["log_loss"] == pytest.approx(log, rel=1e-6)


def test_numbers_that_are_not_in_the_drum_cannot_be_guessed(path: Path) -> None:
    """Draws 5 and 6 come from 49 numbers, though the network has 50 outputs."""
    task = lotto(source=write(path, draws(8)), window=1, train_size=3, validation_size=1, test_size=3)
    data = task.load(0, 0)
    low, high = np.full((2, 3, 50), 0.1, np.float32)
    high[:, 49] = 0.9
    series = [task.by_sample(data, guess, guess) for guess in (low, high)]
    assert series[0]["numbers"].tolist() == [49, 50, 50]
    assert series[0]["chance"] == pytest.approx([1.0, 0.98, 0.98])
    assert series[0]["hits"] == pytest.approx(series[0]["chance"]), "a constant guess scores chance at every date"
    assert series[1]["hits"][0] == series[0]["hits"][0]
    assert (series[1]["hits"][1:] != series[0]["hits"][1:]).all()
    only_first = high.copy()
    only_first[1:] = 0.1
    for metric in ("hits", "mse", "log_loss"):
        assert task.test_metrics(data, only_first, low)[metric] == task.test_metrics(data, low, low)[metric], metric


def test_chance_is_the_mean_of_the_hypergeometric_means(path: Path) -> None:
    task = lotto(source=write(path, draws(12)), window=1, train_size=2, validation_size=1, test_size=8)
    data = task.load(0, 0)
    means = [stats.hypergeom(drum, 7, 7).mean() for drum in (49, 49, 50, 50, 50, 50, 50, 50)]
    assert task.baselines(data)[0].value == pytest.approx(np.mean(means), abs=1e-12)


def test_the_layout_of_six_of_forty_nine(path: Path) -> None:
    rows = [line(draw, [draw, 20, 30, 40, 41, 49], date=f"1990-01-{draw:02}", product="649") for draw in range(1, 16)]
    task = lotto(source=write(path, rows, SIX), window=2)
    data = task.load(0, 0)
    assert [len(own.inputs) for own in (data.train, data.validation, data.test)] == [9, 2, 2]
    assert task.output_size == 49
    assert task.baselines(data)[0].value == pytest.approx(36 / 49)


def test_rules_by_date() -> None:
    assert [drum_size("LOTTO MAX", date) for date in ("2009-09-24", "2019-05-13", "2019-05-14")] == [None, 49, 50]
    assert drum_size("another", "2020-01-01") is None
    assert all(rules == tuple(sorted(rules)) for rules in DRUMS.values())


# --- splits and leakage --------------------------------------------------------------------------------------------


def test_splits_by_date(path: Path) -> None:
    source = write(path, draws(20))
    dates = [(FIRST + datetime.timedelta(weeks=week)).isoformat() for week in range(20)]
    ends = {"start": dates[2], "train_end": dates[9], "validation_end": dates[12], "test_end": dates[15]}
    data = lotto(source=source, window=3, **ends).load(0, 0)  # type: ignore[arg-type]
    assert data.train.index == tuple(dates[5:10])
    assert data.validation.index == tuple(dates[10:13])
    assert data.test.index == tuple(dates[13:16])
    open_end = lotto(source=source, window=3, train_end=dates[9], validation_end=dates[12]).load(0, 0)
    assert open_end.test.index == tuple(dates[13:])


def test_without_sizes_or_dates_one_draw_in_five_is_for_validation_and_for_the_test(path: Path) -> None:
    data = lotto(source=write(path, draws(28)), window=3).load(0, 0)
    assert [len(own.inputs) for own in (data.train, data.validation, data.test)] == [15, 5, 5]
    assert data.test.index is not None
    assert data.test.index[-1] == (FIRST + datetime.timedelta(weeks=27)).isoformat()


@settings(deadline=None, max_examples=25)
@given(changed=st.integers(1, 19), maxmillions=st.booleans(), window=st.integers(1, 4))
def test_a_later_draw_changes_no_earlier_input(
    tmp_path_factory: pytest.TempPathFactory, changed: int, maxmillions: bool, window: int
) -> None:
    """Nor does a MaxMillions draw change any input, or anything of validation and test."""
    folder = tmp_path_factory.mktemp("draws")
    lines = draws(20, maxmillions=2)
    options: dict[str, Any] = {"window": window, "maxmillions": maxmillions}
    before = lotto(source=write(folder / "before.csv", lines), **options).load(0, 0)
    date = (FIRST + datetime.timedelta(weeks=changed - 1)).isoformat()
    other = np.random.default_rng(7)
    edited = [
        line(changed, seven(other, 49), number % 3) if number // 3 == changed - 1 else own
        for number, own in enumerate(lines)
    ]
    after = lotto(source=write(folder / "after.csv", edited), **options).load(0, 0)
    for name in ("train", "validation", "test"):
        one, two = getattr(before, name), getattr(after, name)
        assert one.index == two.index
        past = np.array(one.index) <= date
        assert np.array_equal(one.inputs[past], two.inputs[past]), "neither a later draw nor one of the same day"
        assert np.array_equal(one.targets[np.array(one.index) != date], two.targets[np.array(one.index) != date])


def test_maxmillions_are_further_targets_of_training_alone(path: Path) -> None:
    lines = draws(12, maxmillions=2)
    source = write(path, lines)
    plain = lotto(source=source, window=2)
    more = lotto(source=source, window=2, maxmillions=True)
    require_contract(more, more.load(0, 0))
    assert isinstance(more, LottoMaxMillions) and more.advance is None
    one, two = plain.load(0, 0), more.load(0, 0)
    assert len(one.train.inputs) == 6 and len(two.train.inputs) == 18
    assert np.array_equal(two.train.inputs[::3], one.train.inputs)
    assert np.array_equal(two.train.targets[::3], one.train.targets)
    for extra in (1, 2):
        assert np.array_equal(two.train.inputs[extra::3], one.train.inputs)
        assert not np.array_equal(two.train.targets[extra::3], one.train.targets)
    for name in ("validation", "test"):
        assert np.array_equal(getattr(one, name).inputs, getattr(two, name).inputs)
        assert np.array_equal(getattr(one, name).targets, getattr(two, name).targets)


# --- repairs and refusals ------------------------------------------------------------------------------------------


def test_order_and_exact_duplicates_are_repaired_and_counted(path: Path) -> None:
    lines = draws(12, maxmillions=1)
    clean = LottoFile(write(path, lines)).prepare(path.parent)
    assert clean.facts["rows_out_of_order"] == clean.facts["exact_duplicates_removed"] == 0
    cells = lines[0].split(",")
    turned = ",".join([*cells[:4], *cells[10:3:-1], cells[11]])
    untidy = [*lines[6:], turned, *lines[1:6], lines[3], "", ",,,,,,,,,,,"]
    found = LottoFile(write(path, untidy)).prepare(path.parent)
    assert all(np.array_equal(found.arrays[name], own) for name, own in clean.arrays.items())
    assert found.facts == {
        "product": "LOTTO MAX",
        "rows": 25,
        "first_date": "2019-04-05",
        "last_date": "2019-06-21",
        "main_draws": 12,
        "maxmillions_draws": 12,
        "drawn": 7,
        "numbers_in_the_drum": {"49": "2019-04-05 to 2019-05-10", "50": "2019-05-17 to 2019-06-21"},
        "exact_duplicates_removed": 1,
        "rows_out_of_order": 2,
        "draws_with_numbers_not_ascending": 1,
        "missing_draw_numbers": 0,
        "draw_numbers_without_main_draw": 0,
    }


def test_missing_draws_are_counted(path: Path) -> None:
    lines = draws(12, maxmillions=1)
    facts = LottoFile(write(path, [*lines[:4], *lines[8:10], *lines[11:]])).prepare(path.parent).facts
    assert facts["missing_draw_numbers"] == 2
    assert facts["draw_numbers_without_main_draw"] == 1


GOOD = [line(1, [1, 2, 3, 4, 5, 6, 7]), line(2, [1, 2, 3, 4, 5, 6, 8])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty; it must have the columns PRODUCT, DRAW NUMBER, SEQUENCE NUMBER, DRAW DATE"),
        (SEVEN, "no draw stands below the header"),
        ("\n<!DOCTYPE html>\n<html></html>", "this is a web page (HTML), not a CSV file"),
        (SEVEN.replace("DRAW DATE", "DATE"), "row 1: no column 'DRAW DATE'; did you mean 'DATE'? valid: "),
        (SEVEN.replace("NUMBER DRAWN 1", "X"), "row 1: no column 'NUMBER DRAWN 1'"),
        (SEVEN.replace("BONUS NUMBER", "DRAW DATE"), "row 1: the column 'DRAW DATE' stands there twice"),
        ("\n".join([SEVEN, *GOOD, "1,2,3"]), "row 4 has 3 cells, the header has 12"),
        (
            "\n".join([SEVEN, line(1, [1, 2, 3, 4, 5, 6, 6])]),
            "row 2, column NUMBER DRAWN 7: 6 stands there twice, first in NUMBER DRAWN 6",
        ),
        (
            "\n".join([SEVEN, line(1, [1, 2, 3, 4, 5, 6, 50])]),
            "row 2, column NUMBER DRAWN 7: 50 is not among the 49 numbers of the drum at 2019-04-05",
        ),
        ("\n".join([SEVEN, line(1, [0, 2, 3, 4, 5, 6, 7])]), "column NUMBER DRAWN 1: 0 is not among the 49 numbers"),
        (
            "\n".join([SEVEN, *GOOD]).replace(",8,", ",x,"),
            "row 3, column NUMBER DRAWN 7: 'x' is not a whole number",
        ),
        ("\n".join([SEVEN, line(1, [1, 2, 3, 4, 5, 6, 7], date="2019-02-30")]), "'2019-02-30' is not a date"),
        ("\n".join([SEVEN, line(1, [1, 2, 3, 4, 5, 6, 7], date="05/04/2019")]), "'05/04/2019' is not a date"),
        (
            "\n".join([SEVEN, line(1, [1, 2, 3, 4, 5, 6, 7], date="2009-09-24")]),
            "row 2, column PRODUCT: LOTTO MAX has no draw before 2009-09-25, this one is of 2009-09-24",
        ),
        (
            "\n".join([SEVEN, line(1, [1, 2, 3, 4, 5, 6, 7], product="OTHER")]),
            "row 2, column PRODUCT: the rules of 'OTHER' are not known (LOTTO MAX, 649 are); set task.numbers",
        ),
        (
            "\n".join([SEVEN, *GOOD, line(3, [1, 2, 3, 4, 5, 6, 7], product="649")]),
            "row 4, column PRODUCT: '649' after 'LOTTO MAX'; one file, one product",
        ),
        (
            "\n".join([SEVEN, *GOOD, line(1, [1, 2, 3, 4, 5, 6, 9])]),
            "rows 2 and 4: draw 1, sequence 0, has two sets of numbers",
        ),
        (
            "\n".join([SEVEN, *GOOD, line(1, [1, 2, 3, 4, 5, 6, 9], sequence=1, date="2020-01-01")]),
            "rows 2 and 4, column DRAW DATE: draw 1 is of 2019-04-05 and of 2020-01-01",
        ),
        (
            "\n".join([SEVEN, *GOOD, line(3, [1, 2, 3, 4, 5, 6, 9], date="2018-01-01")]),
            "rows 3 and 4, column DRAW DATE: draw 3 of 2018-01-01 comes after draw 2 of 2019-04-12",
        ),
        (
            "\n".join([SEVEN, line(1, [1, 2, 3, 4, 5, 6, 7], sequence=1)]),
            "no main draw: SEQUENCE NUMBER is 0 in none of the 1 rows",
        ),
    ],
)
def test_bad_files(path: Path, text: str, message: str) -> None:
    path.write_text(text, encoding="utf-8")
    found = refused(str(path))
    assert found.startswith(f"{path}: ") and message in found and "\n" not in found


def test_a_file_that_is_no_text_or_not_there(path: Path) -> None:
    path.write_bytes(SEVEN.encode() + b"\n\xff")
    assert "row 2: byte 0xff is not UTF-8 text" in refused(str(path))
    assert "task.source=genrated: there is no such file or folder" in refused("genrated")
    assert "did you mean 'generated'?" in refused("genrated")
    (path.parent / "folder").mkdir()
    assert "it cannot be read" in refused(str(path.parent / "folder"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"numbers": 7}, "column NUMBER DRAWN"),
        ({"drawn": 6}, "task.drawn=6: the draws of "),
        ({"window": 0}, "task.window=0: it must be a whole number of at least 1"),
        ({"start": "2019"}, "task.start='2019': it must be a date, YYYY-MM-DD"),
        ({"start": "2030-01-01"}, "no draw to predict in the train split (window 5): 0 main draws are in use"),
        ({"train_end": "2019-06-01", "validation_end": "2019-06-01"}, "it must come after task.train_end=2019-06-01"),
        ({"train_end": "2019-06-01"}, "task.validation_end=null: give it together with task.train_end"),
        ({"test_size": 3}, "task.train_size=null: give it together with task.test_size"),
        ({"test_size": 3, "train_end": "2019-06-01"}, "task.train_end=2019-06-01: give dates or sizes of the splits"),
        (
            {"train_size": 10, "validation_size": 10, "test_size": 10},
            "35 draws are needed (window 5 + the three sizes)",
        ),
        ({"train_end": "2019-06-01", "validation_end": "2019-06-02"}, "no draw to predict in the validation split"),
        ({"maxmillions": "yes"}, "task.maxmillions='yes': it must be true or false"),
        ({"source": 649}, "task.source=649: it must be 'generated' or the path of a CSV file"),
    ],
)
def test_bad_options(path: Path, options: dict[str, Any], message: str) -> None:
    assert message in refused(**{"source": write(path, draws(20)), **options})


def test_options_of_a_file_are_refused_for_generated_draws() -> None:
    assert refused("generated", maxmillions=True).startswith("task.maxmillions=True: generated draws have no such")
    assert refused("generated", start="2020-01-01").startswith("task.start=2020-01-01: generated draws have no such")


def test_the_numbers_of_an_unknown_product_can_be_given(path: Path) -> None:
    rows = [line(draw, [draw, 20, 21, 22, 23, 24, 30], product="OTHER") for draw in range(1, 16)]
    task = lotto(source=write(path, rows), numbers=30, drawn=7, window=1)
    assert task.baselines(task.load(0, 0))[0].value == pytest.approx(49 / 30)


# --- as a dataset --------------------------------------------------------------------------------------------------


def test_generated_draws_are_the_default() -> None:
    task = lotto(test_size=30)
    assert isinstance(task, Lotto) and (task.numbers, task.drawn, task.train_size) == (49, 6, 1500)
    assert np.array_equal(task.load(4, 0).test.targets, Lotto(test_size=30).load(4, 0).test.targets)


def test_the_example_serves_the_default_options(path: Path) -> None:
    for task in (LottoDraws(source=str(path)), LottoMaxMillions(source=str(path)), LottoDraws(source="x", numbers=6)):
        data = task.cut(task.dataset.example())
        assert min(len(own.inputs) for own in (data.train, data.validation, data.test)) > 50
        assert len(np.unique(data.test.numbers, axis=0)) > 5


def test_prepared_data_are_those_of_the_file(path: Path, tmp_path: Path) -> None:
    dataset = LottoFile(write(path, draws(12)))
    assert list(dataset.declaration()) == ["sha256"]
    assert LottoFile(str(path), numbers=50).digest != dataset.digest
    folder = prepare(dataset, tmp_path / "results")
    stored = read_prepared(dataset, tmp_path / "results")
    assert folder.name == f"lotto-{dataset.digest[:8]}" and stored is not None
    fresh = dataset.prepare(tmp_path)
    assert stored.facts == fresh.facts
    assert all(np.array_equal(stored.arrays[name], own) for name, own in fresh.arrays.items())
    digest = dataset.digest
    write(path, draws(12, seed=1))
    assert dataset.digest != digest, "another file of the same name"
