"""Data from outside through the front door: prepared once with their provenance, and a learning rate for every arm."""

import json
import math

import pandas as pd

# The days of a random walk that is no random walk: something can be learned from the day before.
DAYS = pd.bdate_range("2001-01-01", periods=140).strftime("%Y-%m-%d").tolist()
STUDY = """
title: Own prices
alpha: 0.5
tune: lr
control:
  model.hidden_size: 4
  trainer.max_epochs: 2
  tuning_seeds: 2
tasks:
  stock:
    task.source: prices.csv
    task.window: 3
    task.train_end: "2001-05-01"
    task.validation_end: "2001-06-01"
    task.test_end: "2001-07-13"
sweep:
  activation: tanh,iris
  seed: range(0,2)
claims:
  iris:
    sentence: Iris beats tanh
    treatment: activation=iris
    sesoi: 2%
"""


def price_rows():
    return [f"{day},{100 + 5 * math.sin(number):.4f}" for number, day in enumerate(DAYS)]


def test_own_prices_from_the_file_to_the_verdict(pristine):
    rows = price_rows()
    repaired = [*rows[:10], rows[9], *rows[10:20], rows[21], rows[20], *rows[22:]]
    pristine.write("prices.csv", "\n".join(["Date,Close", *repaired]) + "\n")
    pristine.write("conf/study/prices.yaml", STUDY)
    done = pristine.snakemake(study="prices")
    assert "preparing results/data/stock-" in done.output
    (folder,) = (own for own in (pristine.results / "data").iterdir() if own.name.startswith("stock-"))
    text = (folder / "provenance.json").read_text(encoding="utf-8")
    provenance = json.loads(text)
    assert str(pristine.root) not in text and provenance["source"] == "prices.csv"
    facts = provenance["facts"]
    assert (facts["duplicate_rows_dropped"], facts["rows_out_of_order"]) == (1, 1)
    assert (facts["first_date"], facts["last_date"]) == (DAYS[0], DAYS[-1])

    # Every arm has chosen for itself, and the tables say at which rate.
    choices = [json.loads(path.read_text()) for path in pristine.results.glob("runs/stock/*/tuning.json")]
    assert len(choices) == 2 and all(own["seeds"] == [1000000, 1000001] for own in choices)
    row = pristine.significance("prices").loc["activation=iris"]
    assert float(row["learning_rate_treatment"]) in {own["learning_rate"] for own in choices}
    assert "each arm at the learning rate it chose on validation" in pristine.markdown("prices")
    assert "over_samples" in pristine.markdown("prices") or "over test days" in pristine.markdown("prices")

    # In another place under another name it is the same file.
    (pristine.root / "prices.csv").rename(pristine.root / "moved.csv")
    moved = "tasks.stock.task.source=moved.csv"
    assert pristine.snakemake("-n", study="prices", overrides=moved).output.count("training stock") == 0


def test_a_file_that_cannot_be_used_stops_before_anything_is_written(pristine):
    rows = price_rows()
    rows[30] = rows[30].partition(",")[0] + ",-3.5"
    pristine.write("prices.csv", "\n".join(["Date,Close", *rows]) + "\n")
    pristine.write("conf/study/prices.yaml", STUDY)
    before = pristine.tree()
    for done in (pristine.snakemake(study="prices", code=1), pristine.notafluke("prepare", "prices", code=2)):
        assert "prices.csv: row 32, column Close: the price '-3.5' is not above 0" in done.output
        assert "Traceback" not in done.output
    assert pristine.tree() == before


def test_prepare_names_what_it_has_prepared_and_refuses_what_is_not_of_the_study(pristine):
    pristine.write("prices.csv", "\n".join(["Date,Close", *price_rows()]) + "\n")
    pristine.write("conf/study/prices.yaml", STUDY)
    folder = pristine.notafluke("prepare", "prices").stdout.strip()
    assert (pristine.root / folder / "provenance.json").is_file()
    done = pristine.notafluke("prepare", "prices", "results/data/stock-00000000", code=2)
    assert "results/data/stock-00000000 holds no data of prices now" in done.stderr
