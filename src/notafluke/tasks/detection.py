"""Scores of a yes-or-no prediction from its four counts, as the earthquake tables derive them."""

from __future__ import annotations

import math
import operator


def detection_scores(tp: int, tn: int, fp: int, fn: int) -> dict[str, float]:
    """Return precision, recall, F1 and Matthews' correlation (MCC) of true and false positives and negatives.

    A ratio of 0 by 0 is 0. Counts are taken as Python's whole numbers, so the products of MCC are exact. Raises
    ValueError for a negative count and TypeError for one that is not whole.
    """
    tp, tn, fp, fn = map(operator.index, (tp, tn, fp, fn))
    if min(tp, tn, fp, fn) < 0:
        raise ValueError(f"counts cannot be negative: TP {tp}, TN {tn}, FP {fp}, FN {fn}")
    spread = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return {
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "mcc": _ratio(tp * tn - fp * fn, spread),
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
