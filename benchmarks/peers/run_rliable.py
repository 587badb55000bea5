"""Decide simulated scores with rliable: ``python run_rliable.py scores.npz decisions.csv``.

``scores`` has the shape (repetitions, tasks, arms, seeds), control first; higher is better. The call is the one of
rliable's README, with 2,000 resamples: the average probability of improvement and its 95 % stratified bootstrap
interval. Its authors call an improvement significant when the interval lies above 0.5.

``metrics.probability_of_improvement`` makes a SciPy call for each task and resample, about 10 to 50 times slower than
``probability`` below, which is the same number: checked on every data set before it is used.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from rliable import library as rly
from rliable import metrics

RESAMPLES = 2000


def probability(x: np.ndarray, y: np.ndarray) -> float:
    difference = x[:, None, :] - y[None, :, :]
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def decide(scores: np.ndarray, repetition: int) -> tuple[str, float, float, float]:
    control, treatment = scores[:, 0].T, scores[:, 1].T  # (seeds, tasks) each
    expected = metrics.probability_of_improvement(treatment, control)
    if abs(probability(treatment, control) - expected) > 1e-12:
        raise AssertionError("the fast probability of improvement is not rliable's")
    np.random.seed(repetition)  # rliable ignores random_state and draws from NumPy's global generator
    points, intervals = rly.get_interval_estimates(
        {"treatment,control": (treatment, control)}, probability, reps=RESAMPLES
    )
    low, high = np.ravel(intervals["treatment,control"])
    decision = "better" if low > 0.5 else "worse" if high < 0.5 else "none"
    return decision, float(points["treatment,control"]), float(low), float(high)


def main(source: str, target: str) -> None:
    with Path(target).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["repetition", "decision", "estimate", "low", "high"])
        for repetition, scores in enumerate(np.load(source)["scores"]):
            writer.writerow([repetition, *decide(scores, repetition)])


if __name__ == "__main__":
    main(*sys.argv[1:])
