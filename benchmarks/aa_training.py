"""A/A through real training: does the pipeline see a difference between halves of the same runs?

``python benchmarks/aa_training.py`` trains 30 runs of one configuration, splits them 1,000 times at random into 15
treatments and 15 controls, paired at random, and puts every split through ``notafluke.claims.decide``. It writes
``benchmarks/results/aa-training.csv`` and its section of ``docs/calibration.md``.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from pages import CACHE, PAGE, RESULTS, percent, share_columns, write_section
from simulation import ALPHA, DECLARED, SEED, Floats, Pipeline

RUNS = 30
OPTIONS = ("task=adding", "task.length=10")
QUICK_OPTIONS = (*OPTIONS, "model=rnn", "trainer.max_epochs=2", "task.train_size=320")


def train(options: tuple[str, ...], results: Path) -> Floats:
    """Train the runs and return their test MSE by seed, shape (runs,), NaN where a run failed."""
    command = [str(Path(sys.executable).with_name("notafluke")), "train", *options, f"seed=range(0,{RUNS})"]
    command += [f"execution.results={results}", "execution.tracking=false"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"training failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    scores = np.full(RUNS, np.nan)
    records = [json.loads(file.read_text(encoding="utf-8")) for file in results.glob("runs/*/*/seed=*/metrics.json")]
    if len(records) != RUNS:
        raise SystemExit(f"{len(records)} runs recorded, expected {RUNS}")
    for record in records:
        if record["outcome"] == "ok":
            scores[record["seed"]] = record["metrics"]["mse"]
    return scores


def main() -> None:
    """Train, split, decide, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--splits", type=int, default=1000)
    parser.add_argument(
        "--quick", action="store_true", help="short training, 40 splits, results into benchmarks/.cache/quick"
    )
    arguments = parser.parse_args()
    splits, options = (40, QUICK_OPTIONS) if arguments.quick else (arguments.splits, OPTIONS)
    print(f"training {RUNS} runs: {' '.join(options)} ...", flush=True)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        mse = train(options, Path(folder))
    print(
        f"trained after {time.monotonic() - begin:.0f} s, MSE {np.nanmin(mse):.3g} to {np.nanmax(mse):.3g}", flush=True
    )

    half = RUNS // 2
    pipeline = Pipeline(half, sesoi=float(np.nanstd(mse, ddof=1)) / 2)
    counts: Counter[str] = Counter()
    for split in range(splits):
        order = np.random.default_rng([SEED, split]).permutation(RUNS)
        # The pipeline's simulated scores are higher for better.
        counts.update(pipeline.decide(-mse[order].reshape(1, 2, half))["verdict"])
    errors = sum(counts[verdict] for verdict in DECLARED)
    columns = share_columns(errors, splits, ALPHA)
    verdicts = ", ".join(f"`{name}` {number}" for name, number in sorted(counts.items()))
    command = f'notafluke train {" ".join(options)} "seed=range(0,{RUNS})"'
    text = (
        f"{RUNS} runs of `{command}`: test MSE mean {np.nanmean(mse):.4g}, SD {np.nanstd(mse, ddof=1):.2g}, "
        f"{int(np.isnan(mse).sum())} failed. {splits:,} random splits into {half} pairs: {verdicts}.\n\n"
        f"A difference was declared in {errors} of {splits:,} splits, {percent(columns['share'])} % "
        f"[{percent(columns['low'])}, {percent(columns['high'])}] (exact one-sided p that the rate is above 5 %: "
        f"{columns['p_above']:.3f})."
    )
    results, page = RESULTS, PAGE
    if arguments.quick:
        results = CACHE / "quick"
        results.mkdir(parents=True, exist_ok=True)
        page = Path(shutil.copy(PAGE, results / "aa-training.md"))
    with (results / "aa-training.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["splits", "verdict", "count"])
        writer.writerows([splits, name, number] for name, number in sorted(counts.items()))
    write_section(page, "aa-training", text)
    print(text, f"written: {page}", sep="\n", flush=True)


if __name__ == "__main__":
    main()
