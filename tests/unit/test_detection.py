"""Precision, recall, F1 and MCC against the published tables of the earthquake predictor."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notafluke.tasks.detection import detection_scores

# github cognoscitive/earthquakepredictor, website/: counts and the columns derived from them, as printed.
PUBLISHED = {
    "high recall, exp_or_log (2020)": ((23415, 3293568, 164801, 11082), (0.1244, 0.6788, 0.2103, 0.2764)),
    "high precision, smooth_l1 (2020)": ((14602, 2939771, 7173, 20777), (0.6706, 0.4127, 0.5110, 0.5218)),
    "2018 model, exp_or_log, year 2017": ((21134, 5912431, 49833, 12046), (0.2978, 0.6369, 0.4058, 0.4312)),
}
COUNT = st.integers(0, 10**7)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_columns(name: str) -> None:
    counts, printed = PUBLISHED[name]
    scores = detection_scores(*counts)
    assert tuple(round(scores[column], 4) for column in ("precision", "recall", "f1", "mcc")) == printed


@given(COUNT, COUNT, COUNT, COUNT)
def test_bounds_and_symmetries(tp: int, tn: int, fp: int, fn: int) -> None:
    scores, exchanged, turned = (
        detection_scores(*counts) for counts in ((tp, tn, fp, fn), (tp, tn, fn, fp), (tn, tp, fn, fp))
    )
    assert all(0 <= scores[name] <= 1 for name in ("precision", "recall", "f1"))
    assert -1 - 1e-12 <= scores["mcc"] <= 1 + 1e-12
    assert scores["precision"] == exchanged["recall"] and scores["f1"] == exchanged["f1"]
    assert scores["mcc"] == pytest.approx(turned["mcc"], rel=1e-12)
    if scores["precision"] + scores["recall"] > 0:
        mean = 2 * scores["precision"] * scores["recall"] / (scores["precision"] + scores["recall"])
        assert scores["f1"] == pytest.approx(mean, rel=1e-12)


def test_mcc_is_the_correlation_of_truth_and_prediction() -> None:
    truth = [1] * 7 + [0] * 3 + [1] * 2 + [0] * 5
    prediction = [1] * 7 + [1] * 3 + [0] * 2 + [0] * 5
    n, mean_t, mean_p = len(truth), sum(truth) / len(truth), sum(prediction) / len(prediction)
    covariance = sum((t - mean_t) * (p - mean_p) for t, p in zip(truth, prediction, strict=True)) / n
    expected = covariance / math.sqrt(mean_t * (1 - mean_t) * mean_p * (1 - mean_p))
    assert detection_scores(7, 5, 3, 2)["mcc"] == pytest.approx(expected, rel=1e-12)


def test_nothing_by_nothing_is_0() -> None:
    assert detection_scores(0, 10, 0, 0) == {"precision": 0, "recall": 0, "f1": 0, "mcc": 0}


def test_numpys_whole_numbers_do_not_overflow() -> None:
    counts, _ = PUBLISHED["high recall, exp_or_log (2020)"]
    assert detection_scores(*np.array(counts, dtype=np.int32)) == detection_scores(*counts)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        detection_scores(1.5, 1, 1, 1)  # type: ignore[arg-type]


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="FP -1"):
        detection_scores(1, 1, -1, 1)
