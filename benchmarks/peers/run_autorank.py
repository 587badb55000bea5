"""Decide simulated scores with autorank: ``python run_autorank.py scores.npz decisions.csv``.

``scores`` has the shape (repetitions, tasks, arms, seeds), control first; higher is better. As its documentation says,
rows are the paired measurements and columns the populations: with one task the rows are the seeds, with several the
tasks, each by its mean over the seeds (Demsar's scheme, which autorank implements).
"""

import contextlib
import csv
import io
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from autorank import autorank


def decide(scores: np.ndarray) -> tuple[str, float, str]:
    rows = scores[0].T if scores.shape[0] == 1 else scores.mean(axis=2)
    data = pd.DataFrame(rows, columns=["control", "treatment"])
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scipy, about ties and constant columns
        result = autorank(data, alpha=0.05, verbose=False, order="descending")
    if not result.pvalue < result.alpha:
        return "none", result.pvalue, result.omnibus
    # The larger one of its report: by the mean where it finds all columns normal, else by the median. (The order of
    # rankdf is by the mean rank, and puts the worse of two first.)
    centre = result.rankdf["mean" if result.all_normal else "median"]
    return ("better" if centre["treatment"] > centre["control"] else "worse"), result.pvalue, result.omnibus


def main(source: str, target: str) -> None:
    with Path(target).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["repetition", "decision", "p_value", "test"])
        for repetition, scores in enumerate(np.load(source)["scores"]):
            writer.writerow([repetition, *decide(scores)])


if __name__ == "__main__":
    main(*sys.argv[1:])
