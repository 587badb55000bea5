"""A training without a network: it records runs and logs them live, just as `notafluke train` does."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from notafluke.clock import utc_now
from notafluke.plan import Cell
from notafluke.records import RunRecord, write_record
from notafluke.tracking import LiveLog, Pace, remember_runs

Epoch = dict[str, float]
INFINITE = float("inf")
NO_NUMBER = float("nan")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Training:
    """One cell in one experiment. ``live`` is asked for, so that a test can lose it as a crash would."""

    results: Path
    experiment: str = "toy"
    name: str = "iris"
    pace: Pace | None = None
    samples: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        key = (self.name.encode().hex() + "0" * 64)[:64]
        folder = (self.results / "runs" / "adding" / f"activation={self.name}-{key[:8]}").as_posix()
        self.cell = Cell("adding", {"activation": self.name}, key, folder, "")
        self.config: dict[str, Any] = {
            "task": {"_target_": "notafluke.tasks.adding.Adding", "length": 2},
            "optimizer": {"lr": 1e-05, "description": "not shown"},
            "trainer": {"max_epochs": 3, "time_limit": None},
            "online": False,
            "trust": ["my_layers"],
            "seed": 0,
            "execution": {"results": str(self.results), "block_size": 12},
        }
        self.live = LiveLog(self.experiment, self.results, self.cell, self.config, self.pace)

    def epoch(self, epoch: int, seed: int) -> Epoch:
        """Metrics that tell epoch and seed; one is never finite."""
        return {
            "train_loss": epoch + seed / 10,
            "mse": 1 / (3 + epoch + seed),
            "odd name@2": INFINITE if epoch % 2 else NO_NUMBER,
            "gradient_norm/rnn.weight": 1e-300 * (1 + epoch),
        }

    def train(
        self,
        seeds: Sequence[int],
        epochs: int = 3,
        behind: int = 0,
        each: Callable[[int], object] = lambda _: None,
        outcomes: dict[int, str] | None = None,
    ) -> None:
        """Train a block of seeds and record them; ``behind`` are the epochs of a checkpoint, ``each`` is called after
        each epoch.
        """
        started = utc_now()
        earlier = {seed: [self.epoch(epoch, seed) for epoch in range(behind)] for seed in seeds}
        self.live.start(seeds, earlier, started)
        for epoch in range(behind, epochs):
            self.live.epoch_finished(epoch, {seed: self.epoch(epoch, seed) for seed in seeds})
            each(epoch)
        for seed in seeds:
            self.record(seed, epochs, started, (outcomes or {}).get(seed, "ok"))

    def record(self, seed: int, epochs: int, started: str, outcome: str = "ok") -> None:
        """Record a seed, and tell the live log."""
        folder = self.cell.run_folder(seed)
        good = outcome == "ok"
        record = replace(
            EMPTY,
            run_key=self.cell.run_key(seed),
            cell_key=self.cell.key,
            changes=self.cell.changes,
            seed=seed,
            outcome=outcome,
            reason="" if good else f"it {outcome}",
            metrics={"mse": 0.1 * (seed + 1), "hits@1": NO_NUMBER} if good else {},
            last_epoch=epochs - 1,
            seconds=1.5,
            parameters=321,
            weight_digest="ab" * 32 if good else "",
            started=started,
            ended=utc_now(),
        )
        history = [self.epoch(epoch, seed) for epoch in range(epochs)]
        remember_runs(self.results, self.experiment, {record.run_key: folder})
        write_record(folder, record, {**self.config, "seed": seed}, history, None, None, samples=self.samples)
        self.live.finish(record)


EMPTY = RunRecord(
    run_key="",
    cell_key="",
    task="adding",
    changes={},
    seed=0,
    outcome="ok",
    reason="",
    last_epoch=-1,
    best_epoch=0,
    primary_metric="mse",
    directions={"mse": "lower"},
    units={"mse": ""},
    metrics={},
    validation={},
    baselines=[],
    parameters=0,
    seconds=0.0,
    weight_digest="",
    provenance={"git_commit": "c0ffee" * 6},
)


def train(results: Path, experiment: str, name: str, seeds: Sequence[int], epochs: int, seconds: float = 0.0) -> None:
    """Train a cell in this process, so many seconds an epoch; ``<name>.log`` tells of each."""
    results.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=logging.INFO, filename=results / f"{name}.log", format="%(message)s")

    def each(epoch: int) -> None:
        logging.info("epoch %d", epoch)
        time.sleep(seconds)

    training = Training(results, experiment, name)
    training.train(seeds, epochs, each=each)
    training.live.finish_cell()


def process(*arguments: object) -> BaseProcess:
    """``train`` in a process of its own, which has MLflow imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow.store.tracking.sqlalchemy_store", "notafluke.tracking"])
    job = context.Process(target=train, args=arguments, daemon=True)
    job.start()
    return job
