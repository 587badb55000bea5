"""Metrics of predicted classes against slow loops, closed forms and extreme logits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notafluke.tasks.classification import CALIBRATION_BINS, CLASS_METRICS, calibration_error, class_metrics


def slow(log_probabilities: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    """Sample by sample, in plain Python."""
    losses, hits, squares, totals, bins = [], [], [], [], [(0, 0.0, 0)] * CALIBRATION_BINS
    for logs, truth in zip(log_probabilities.tolist(), classes.tolist(), strict=True):
        raw = [math.exp(own) for own in logs]
        p = [own / sum(raw) for own in raw]
        losses.append(-math.log(p[truth]))
        right = max(range(len(p)), key=lambda i, p=p: p[i]) == truth
        hits.append(right)
        squares.append(sum((own - (i == truth)) ** 2 for i, own in enumerate(p)))
        totals.append(sum(raw))
        place = next(b for b in range(CALIBRATION_BINS) if max(p) <= (b + 1) / CALIBRATION_BINS + 1e-15)
        count, confidence, correct = bins[place]
        bins[place] = (count + 1, confidence + max(p), correct + right)
    mean = len(losses)
    return {
        "log_loss": sum(losses) / mean,
        "accuracy": sum(hits) / mean,
        "brier": sum(squares) / mean,
        "calibration_error": sum(
            count / mean * abs(correct / count - confidence / count) for count, confidence, correct in bins if count
        ),
        "total_probability": sum(totals) / mean,
    }


@pytest.mark.parametrize("shift", [0.0, -0.7, 1.3])
def test_against_a_slow_loop(shift: float) -> None:
    """With probabilities that sum to 1, to less and to more."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((500, 4)) * 2
    logs = (logits - np.log(np.exp(logits).sum(1, keepdims=True)) + shift).astype(np.float32)
    classes = rng.integers(0, 4, 500)
    found = class_metrics(logs, classes)
    assert found == pytest.approx(slow(logs, classes), rel=1e-6)
    assert list(found) == [metric.name for metric in CLASS_METRICS]


def test_steps_count_like_samples() -> None:
    rng = np.random.default_rng(1)
    logs, classes = rng.standard_normal((6, 5, 3)).astype(np.float32), rng.integers(0, 3, (6, 5))
    assert class_metrics(logs, classes) == class_metrics(logs.reshape(30, 3), classes.reshape(30))


def test_a_guess() -> None:
    """Equal probabilities of C classes: ln C nats, Brier (C - 1) / C."""
    logs, classes = np.full((100, 5), -math.log(5), np.float32), np.arange(100) % 5
    found = class_metrics(logs, classes)
    assert found["log_loss"] == pytest.approx(math.log(5), rel=1e-6)
    assert found["brier"] == pytest.approx(0.8, rel=1e-6)
    assert found["calibration_error"] == pytest.approx(0, abs=1e-6)


def test_extreme_logits_stay_finite_and_exact() -> None:
    """A sure and wrong prediction costs its logit; nothing is cut off at 1e-15 or the like."""
    logs = np.array([[0, -2e4, -1e4], [-2e4, 0, -1e4]], np.float32)
    found = class_metrics(logs, np.array([0, 0]))
    assert found["log_loss"] == pytest.approx(1e4)
    assert found["accuracy"] == 0.5
    assert found["brier"] == pytest.approx(1.0)
    assert found["calibration_error"] == pytest.approx(0.5)
    everywhere_far = class_metrics(np.full((4, 2), -1e4, np.float32), np.array([0, 1, 0, 1]))
    assert everywhere_far["log_loss"] == pytest.approx(math.log(2))
    assert everywhere_far["total_probability"] == 0


def test_calibration_of_a_perfectly_calibrated_forecast() -> None:
    """In each bin as many are right as it says; half as many doubles nothing but the gap."""
    confidence = np.repeat([0.25, 0.5, 0.75], 400)
    right = np.concatenate([np.arange(400) < 400 * share for share in (0.25, 0.5, 0.75)]).astype(float)
    assert calibration_error(confidence, right) == pytest.approx(0, abs=1e-12)
    assert calibration_error(confidence, np.zeros(1200)) == pytest.approx(0.5)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
def test_calibration_error_is_a_share(samples: list[tuple[float, bool]]) -> None:
    confidence, right = (np.array(own, dtype=float) for own in zip(*samples, strict=True))
    assert 0 <= calibration_error(confidence, right) <= 1 + 1e-12


def test_shapes_must_belong_together() -> None:
    with pytest.raises(ValueError, match="shape"):
        class_metrics(np.zeros((4, 3), np.float32), np.zeros(5, np.int64))
