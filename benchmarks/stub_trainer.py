"""The `notafluke` command with a trainer that only draws numbers, for studies of thousands of runs (``scale.py``).

``python benchmarks/stub_trainer.py`` takes the arguments of `notafluke`. In place of the engine stands this module's
``train_block``; everything else is the real thing: dry pass, records on the disk, MLflow, tables, figures. Nothing of
the package leads here, so that no user meets it by accident.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from typing import Any

import numpy as np

from notafluke.clock import utc_now
from notafluke.streams import generator
from notafluke.tasks.base import Task
from notafluke.training.history import TRAIN_LOSS
from notafluke.training.results import SeedResult

ENGINE = "notafluke.training.engine"
WEIGHT = "layers.0.weight"


def train_block(
    recipe: Any, task: Task, seeds: Sequence[int], replica: int, *, observer: Any = None, **_: Any
) -> list[SeedResult]:
    """Results as of a training, from the random stream of each seed: a history, metrics and predictions."""
    started = utc_now()
    if observer is not None:
        observer.started({seed: [] for seed in seeds}, started)
    results = [_result(recipe.max_epochs, task, seed, replica, started) for seed in seeds]
    if observer is not None:
        for epoch in range(recipe.max_epochs):
            observer.epoch_finished(epoch, {own.seed: own.history[epoch] for own in results})
    return results


def _result(epochs: int, task: Task, seed: int, replica: int, started: str) -> SeedResult:
    rng = generator(seed, replica, "stub")
    data = task.load(seed, replica)
    names = [metric.name for metric in task.metrics]
    history = [{TRAIN_LOSS: float(rng.random()), **_metrics(names, rng)} for _ in range(epochs)]
    shape = (len(data.test.inputs), task.output_size)
    return SeedResult(
        seed,
        parameters=1,
        last_epoch=epochs - 1,
        best_epoch=epochs - 1,
        history=history,
        validation_metrics=_metrics(names, rng),
        test_metrics=_metrics(names, rng),
        predictions=rng.standard_normal(shape).astype(np.float32),
        weight_digest=f"{seed:064x}",
        started=started,
    )


def _metrics(names: Sequence[str], rng: np.random.Generator) -> dict[str, float]:
    return {name: float(rng.random()) for name in names}


def main() -> None:
    """Put the stub in the place of the engine, which is not imported then, and be `notafluke`."""
    engine = types.ModuleType(ENGINE)
    engine.train_block = train_block  # type: ignore[attr-defined]
    sys.modules[ENGINE] = engine
    from notafluke.cli import main as notafluke

    notafluke()


if __name__ == "__main__":
    main()
