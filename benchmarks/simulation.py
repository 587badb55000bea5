"""Simulated and real scores through the whole pipeline, shared by the calibration scripts of this folder."""

from __future__ import annotations

import ast
import hashlib
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import notafluke
from notafluke import claims
from notafluke.stats.signed_rank import null_counts
from notafluke.study import CONTROL, Claim, Sesoi

Floats = NDArray[np.float64]


ALPHA = 0.05
CORRELATION = 0.8
FAILURE_RATE = 0.1
SESOI = 0.5
DECLARED = ("better", "worse", "mixed")
SEED = 20_260_101


# --- scores --------------------------------------------------------------------------------------------------------


def _heavy_tailed(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return rng.standard_t(3, shape) / math.sqrt(3)


_NOISE = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "skewed": lambda rng, shape: rng.standard_exponential(shape) - 1,
    "heavy-tailed": _heavy_tailed,
    "tied": lambda rng, shape: rng.standard_normal(shape),
    "failing": lambda rng, shape: rng.standard_normal(shape),
}
DISTRIBUTIONS = tuple(_NOISE)
UNEQUAL = "unequal shapes"


@dataclass(frozen=True)
class Setting:
    """One simulated study: its size, the distribution of its scores and the true effect of every treatment.

    ``effect`` is d_z: in standard deviations of the paired difference.
    """

    seeds: int
    tasks: int = 1
    treatments: int = 1
    distribution: str = "normal"
    correlation: float = CORRELATION
    effect: float = 0.0

    @property
    def comparisons(self) -> int:
        """The size m of the family."""
        return self.tasks * self.treatments

    @property
    def difference_sd(self) -> float:
        """Standard deviation of treatment - control."""
        return math.sqrt(2 * (1 - self.correlation))

    @property
    def name(self) -> str:
        """A name for files."""
        return (
            f"n{self.seeds}-t{self.tasks}-a{self.treatments}-{self.distribution.replace(' ', '-')}"
            f"-r{self.correlation:g}-d{self.effect:g}"
        )

    def generator(self, repetition: int) -> np.random.Generator:
        """The random numbers of one repetition: whoever computes it, in whichever order, it is the same."""
        digest = hashlib.sha256(self.name.encode()).digest()
        return np.random.default_rng([SEED, int.from_bytes(digest[:8], "big"), repetition])

    def scores(self, repetition: int) -> Floats:
        """Scores of shape (tasks, 1 + treatments, seeds), the control first; NaN is a diverged run; higher is better.

        Every seed has a random effect that all arms share, as real paired runs do. Without an effect the arms are
        exchangeable, except under "unequal shapes": equal means, but the treatment's differences are skewed.
        """
        rng = self.generator(repetition)
        shape = (self.tasks, 1 + self.treatments, self.seeds)
        if self.distribution == UNEQUAL:
            scores = np.broadcast_to(rng.standard_normal((self.tasks, 1, self.seeds)), shape).copy()
            scores[:, 1:] += rng.standard_exponential((self.tasks, self.treatments, self.seeds)) - 1
            return scores
        noise = _NOISE[self.distribution]
        shared = noise(rng, (self.tasks, 1, self.seeds))
        own = noise(rng, shape)
        scores = math.sqrt(self.correlation) * shared + math.sqrt(1 - self.correlation) * own
        scores[:, 1:] += self.effect * self.difference_sd
        if self.distribution == "tied":
            scores = np.round(2 * scores) / 2
        if self.distribution == "failing":
            scores[rng.random(shape) < FAILURE_RATE] = math.nan
        return scores

    def reachable_level(self) -> float:
        """m times the largest p <= alpha / m that the exact test has without ties; 0: Holm cannot be passed.

        It bounds the family-wise error rate; for m = 1 it is the error rate.
        """
        counts = null_counts(np.arange(1, self.seeds + 1, dtype=np.int64), self.seeds * (self.seeds + 1) // 2)
        p_values = np.minimum(np.ldexp(np.cumsum(counts), 1 - self.seeds), 1.0)
        share = ALPHA / self.comparisons
        return self.comparisons * float(p_values[p_values <= share].max(initial=0.0))


# --- the pipeline --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SimulatedStudy:
    """What ``claims.decide`` reads of a study: the defaults, and one claim for each treatment over all tasks."""

    claims: tuple[Claim, ...]
    seeds: tuple[int, ...]
    alpha: float = ALPHA
    test: str = "signed_rank"
    correction: str = "holm"
    tune: str = "none"
    name: str = "calibration"
    looks: tuple[int, ...] = ()
    spending: str = "obrien_fleming"


_NO_BASELINES = {"task": [], "seed": [], "name": [], "metric": [], "value": [], "trivial": []}


class Pipeline:
    """The tables of a study of a given size, into which scores are put to be decided."""

    def __init__(self, seeds: int, tasks: int = 1, treatments: int = 1, sesoi: float = SESOI):
        names = [f"task{task}" for task in range(tasks)]
        arms = [CONTROL, *(f"treatment={arm}" for arm in range(treatments))]
        keys = pd.MultiIndex.from_product([names, arms, range(seeds)], names=["task", "arm", "seed"])
        self._planned = keys.to_frame(index=False)
        # Every second metric is an error, of which less is better.
        self._signs = np.where(np.arange(tasks) % 2 == 0, 1.0, -1.0)
        direction = np.where(np.repeat(self._signs, len(arms) * seeds) > 0, "higher", "lower")
        self._frame = self._planned.assign(
            metric="score", value=0.0, outcome="ok", direction=direction, unit="", primary=True
        )
        self._baselines = pd.DataFrame(_NO_BASELINES)
        self._study = SimulatedStudy(
            claims=tuple(
                Claim(
                    id=arm,
                    sentence="It helps.",
                    treatment=arm,
                    control=CONTROL,
                    tasks=tuple(names),
                    metric=None,
                    sesoi=dict.fromkeys(names, Sesoi(sesoi, relative=False)),
                    expects="better",
                    role="claim",
                )
                for arm in arms[1:]
            ),
            seeds=tuple(range(seeds)),
        )

    def decide(self, scores: Floats) -> pd.DataFrame:
        """Return the verdict table of ``scores``, shape (tasks, arms, seeds), higher is better, NaN diverged."""
        values = (scores * self._signs[:, None, None]).ravel()
        outcome = np.where(np.isnan(values), "diverged", "ok")
        return claims.decide(
            self._study, self._frame.assign(value=values, outcome=outcome), self._baselines, self._planned
        )


@cache
def pipeline(seeds: int, tasks: int, treatments: int, sesoi: float) -> Pipeline:
    """Return the pipeline of that size, made once a process."""
    return Pipeline(seeds, tasks, treatments, sesoi)


def code_digest(*texts: str, pipeline: bool) -> str:
    """A digest of this file, of ``texts`` and, with ``pipeline``, of what decides; comments and docstrings aside."""
    files = [Path(__file__)]
    if pipeline:
        package = Path(notafluke.__file__).parent
        files += [package / name for name in ("claims.py", "pairing.py", "looks.py")]
        files += sorted((package / "stats").rglob("*.py"))
    digest = hashlib.sha256()
    for file in (file for file in files if file.exists()):
        digest.update(ast.dump(_without_docstrings(ast.parse(file.read_text(encoding="utf-8")))).encode())
    for text in texts:
        digest.update(text.encode())
    return digest.hexdigest()[:16]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                line for line in body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            ]
    return tree
