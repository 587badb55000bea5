"""Metrics of predicted classes, from the logarithms of their probabilities.

Probabilities that do not sum to 1 (independent sigmoids, Topcat) are divided by their sum first, so that outputs are
compared on equal terms; the sum itself is shown apart. All arithmetic is float64 on logarithms: log probabilities of
-1e4 and below stay finite. C is the number of classes.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from notafluke.tasks.base import Float32, Float64, Int64, Metric, all_finite

CALIBRATION_BINS = 15
CLASS_METRICS = (
    Metric("log_loss", "lower", "nats"),
    Metric("accuracy", "higher", "share"),
    Metric("brier", "lower"),
    Metric("calibration_error", "lower"),
    Metric("total_probability", "higher"),
)


def class_metrics(log_probabilities: Float32, classes: Int64) -> dict[str, float]:
    """Return CLASS_METRICS of log probabilities [..., C] for the true classes [...].

    `log_loss`: mean of -log p of the true class, in nats. `accuracy`: share whose most probable class is the true
    one. `brier`: mean of sum_i (p_i - t_i)^2 (Brier 1950), 0 to 2. `calibration_error`: see `calibration_error`.
    `total_probability`: mean sum of the probabilities before they are divided by it. NaN where a prediction is not
    finite; raises ValueError when the shapes do not belong together.
    """
    if log_probabilities.shape[:-1] != classes.shape:
        raise ValueError(f"predictions of shape {log_probabilities.shape} for classes of shape {classes.shape}")
    if not all_finite(log_probabilities):
        return {metric.name: float("nan") for metric in CLASS_METRICS}
    logs = log_probabilities.reshape(-1, log_probabilities.shape[-1]).astype(np.float64)
    truth = classes.reshape(-1)
    total = logsumexp(logs, axis=1)
    normalised = logs - total[:, None]
    p = np.exp(normalised)
    rows = np.arange(len(truth))
    right = p.argmax(axis=1) == truth
    return {
        "log_loss": float(-normalised[rows, truth].mean()),
        "accuracy": float(right.mean()),
        "brier": float(np.square(p - one_hot(truth, p.shape[1])).sum(axis=1).mean()),
        "calibration_error": calibration_error(p.max(axis=1), right.astype(np.float64)),
        "total_probability": float(np.exp(total).mean()),
    }


def calibration_error(confidence: Float64, right: Float64, bins: int = CALIBRATION_BINS) -> float:
    """Return the expected calibration error (Guo, Pleiss, Sun and Weinberger 2017) in bins of equal width.

    confidence: the largest probability of each sample; right: 1 where that class is the true one, else 0. Bins are
    open below and closed above; in each the mean confidence is compared with the share that is right, weighted by its
    samples.
    """
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def one_hot(classes: Int64, size: int) -> Float32:
    """Return float32 [..., size] with 1 at each class of [...]."""
    return np.eye(size, dtype=np.float32)[classes]
