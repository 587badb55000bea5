"""Intention to treat: failed runs rank below every finite score."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from notafluke.stats._checks import FloatArray, as_vector, largest_magnitude
from notafluke.stats.rounding import round_significant


def _failure_mask(failed: ArrayLike | None, n: int, name: str) -> NDArray[np.bool_]:
    mask = np.zeros(n, dtype=np.bool_) if failed is None else np.asarray(failed, dtype=np.bool_)
    if mask.shape != (n,):
        raise ValueError(f"{name} must hold one flag for each of the {n} pairs, not shape {mask.shape}")
    return mask


def _arm(scores: ArrayLike, failed: ArrayLike | None, name: str) -> tuple[FloatArray, NDArray[np.bool_]]:
    values = np.array(scores, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, not of shape {values.shape}")
    mask = _failure_mask(failed, values.size, f"{name}_failed")
    values[mask] = 0.0
    unmarked = np.flatnonzero(~np.isfinite(values))
    if unmarked.size:
        raise ValueError(f"{name} is not finite at position {unmarked[0]}, which is not marked as failed")
    return as_vector(values, name), mask


def intention_to_treat_differences(
    treatment: ArrayLike,
    control: ArrayLike,
    treatment_failed: ArrayLike | None = None,
    control_failed: ArrayLike | None = None,
    *,
    direction: Literal[1, -1] = 1,
) -> FloatArray:
    """Return direction * (treatment - control) of shape (n,) for the rank-based statistics, failures included.

    A pair whose treatment failed is -inf, whose control failed +inf, whose both runs failed 0: `signed_rank_test`,
    `sign_flip_test`, `rank_biserial` and `paired_probability_of_improvement` rank them, nothing subtracts them.
    The scores of failed runs are not looked at (they may be NaN). Finite differences are rounded to 12 significant
    digits of the largest finite |score|. `direction` is -1 where lower scores are better.
    Raises ValueError for unequal lengths, for a score that is neither finite nor marked as failed and for differences
    too large for a float.
    """
    if direction not in (1, -1):
        raise ValueError(f"direction must be 1 or -1, not {direction!r}")
    treated, treated_failed = _arm(treatment, treatment_failed, "treatment")
    controls, controls_failed = _arm(control, control_failed, "control")
    if treated.shape != controls.shape:
        raise ValueError(f"treatment and control are not paired: {treated.size} against {controls.size} runs")
    differences = np.zeros(treated.shape)
    both = ~(treated_failed | controls_failed)
    if both.any():
        differences[both] = round_significant(
            as_vector(direction * (treated[both] - controls[both]), "differences"),
            scale=largest_magnitude(treated, controls),
        )
    differences[treated_failed & ~controls_failed] = -np.inf
    differences[controls_failed & ~treated_failed] = np.inf
    return differences
