"""How the runs of one cell are trained and recorded: block by block, going on where an earlier training stopped."""

from __future__ import annotations

import io
import logging
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notafluke import components
from notafluke.checkpoints import Block, BlockCheckpoint, stored_blocks
from notafluke.clock import utc_now
from notafluke.configuration import RunConfig
from notafluke.errors import StorageError, named
from notafluke.files import remove
from notafluke.interruption import Interruption
from notafluke.plan import Cell, cell_content
from notafluke.provenance import provenance
from notafluke.records import RunRecord, damage, read_record, write_record
from notafluke.redaction import redact
from notafluke.tasks.base import Float32, Task
from notafluke.tasks.dataset import DatasetTask
from notafluke.training.results import SeedResult
from notafluke.tuning import REPLICA as TUNING_REPLICA
from notafluke.tuning import Tuning, TuningFailed, read_tuning, tune, tuning_seeds, write_tuning

if TYPE_CHECKING:
    from notafluke.tracking import LiveLog, Pace
    from notafluke.training.block_size import BlockSize

log = logging.getLogger(__name__)


def recorded(cell: Cell, seed: int) -> RunRecord | None:
    """The record of a run, if it is whole and of this very run key."""
    folder = cell.run_folder(seed)
    record = read_record(folder)
    if record is None or record.run_key != cell.run_key(seed):
        return None
    return None if damage(folder) else record


class CellTraining:
    """Trains seeds of one cell, block by block, and records each run."""

    def __init__(
        self, run: RunConfig, cell: Cell, experiment: str, interruption: Interruption, pace: Pace | None = None
    ) -> None:
        self.run, self.cell, self.experiment, self.interruption = run, cell, experiment, interruption
        self.task: Task = components.build_task(run.config)
        if isinstance(self.task, DatasetTask):
            self.task.example_will_do = False
            # Read once, here, where data that are gone end it all, and are no crash of a seed.
            self.task.check()
        self.recipe = components.build_recipe(run.config)
        execution = run.config["execution"]
        content, place = cell_content(run.config, self.task), self.task.prepared_folder()
        self.provenance = provenance(Path(execution["results"]), content, str(execution["device"]), place)
        self.device, self.most_together = str(execution["device"]), execution["block_size"]
        self.from_scratch = execution["retrain"]
        self.time_limit = run.config["trainer"].get("time_limit")
        self.keeps_weights = run.config["trainer"].get("keep") == "best"
        self.deterministic = run.config["nondeterminism"] == "refuse"
        rate = run.config["optimizer"].get("lr")
        self.learning_rate = float(rate) if isinstance(rate, int | float) else None
        self.at_grid_edge = False
        self.live: LiveLog | None = None
        self.pace = pace

    def _tuning(self, again: bool) -> Tuning:
        """The choice of the learning rate that is stored, or is made now."""
        folder = Path(self.cell.folder)
        stored = None if again else read_tuning(folder, self.cell.key)
        if stored is not None:
            return stored
        metric = next(own for own in self.task.metrics if own.name == self.task.primary_metric)
        seeds = tuning_seeds(self.run.config["tuning_seeds"])
        rate = self.run.config["optimizer"]["lr"]
        tuning = tune(self.cell.key, metric.name, metric.direction, rate, seeds, self._validation_scores)
        edge = ", at the edge of the grid" if tuning.at_grid_edge else ""
        log.info("%s: learning rate %.4g chosen%s", self.cell.folder, tuning.learning_rate, edge)
        write_tuning(folder, tuning)
        for path, own in stored_blocks(folder):
            if own.block.purpose == "tuning":
                remove(path)
        return tuning

    def _validation_scores(self, tries: Sequence[tuple[float, int]]) -> list[float | None]:
        """The best validation score of each (learning rate, seed); None of one that diverged. Raises TuningFailed."""
        scores: list[float | None] = []
        for block in self._block_size([seed for _, seed in tries]).split(tries):
            try:
                scores += self._block_scores(block)
            except (StorageError, TuningFailed):
                raise
            except Exception:
                log.warning("%s: tuning failed; each run is tried alone\n%s", self.cell.folder, traceback.format_exc())
                for one in block:
                    scores += self._block_scores([one], raises=False)
        return scores

    def _block_scores(self, tries: Sequence[tuple[float, int]], raises: bool = True) -> list[float | None]:
        """The same for (learning rate, seed) that train together, each rate with an optimizer of its own."""
        from notafluke.training.engine import train_block

        rates = Counter(rate for rate, _ in tries)
        recipes = {rate: components.build_recipe(with_learning_rate(self.run.config, rate)) for rate in rates}
        shown = ", ".join(f"{rate:.3g}" for rate in rates)
        log.info("%s: trying the learning rates %s", self.cell.folder, shown)
        seeds = [seed for _, seed in tries]
        block = Block(self.cell.key, "tuning", tuple(seeds), tuple(rate for rate, _ in tries))
        with self.checkpointed(block) as checkpoint:
            results = train_block(
                self.recipe,
                self.task,
                seeds,
                TUNING_REPLICA,
                device=self.device,
                tested=False,
                optimizers=[(recipes[rate].optimizer, count) for rate, count in rates.items()],
                checkpoint=checkpoint,
                time_limit=self.time_limit,
                deterministic=self.deterministic,
                raises=raises,
            )
        for own in results:
            if own.outcome in ("crashed", "timeout"):
                checkpoint.remove()
                raise TuningFailed(own.outcome, own.reason)
        metric = self.task.primary_metric
        return [own.validation_metrics.get(metric) if own.outcome == "ok" else None for own in results]

    @contextmanager
    def checkpointed(self, block: Block) -> Iterator[BlockCheckpoint]:
        """Train a block within it: a signal waits until its state is kept. What fails would fail again from there."""
        checkpoint = BlockCheckpoint(Path(self.cell.folder), block, self.interruption, self.device)
        if self.from_scratch:
            checkpoint.remove()
        with self.interruption.waits():
            try:
                yield checkpoint
            except StorageError:
                raise
            except Exception:
                checkpoint.remove()
                raise

    def train(self, seeds: Sequence[int]) -> None:
        """Choose the learning rate where that is asked for, and train and record the seeds."""
        began, started, failed = time.monotonic(), utc_now(), None
        try:
            try:
                self._choose_learning_rate()
            except TuningFailed as error:
                failed = error
            self._open_live_log()
            if failed is None:
                self._train_blocks(seeds)
            else:
                if self.live:
                    self.live.start(seeds)
                for seed in seeds:
                    seconds = (time.monotonic() - began) / len(seeds)
                    self._record(SeedResult(seed, 0, failed.outcome, failed.reason, started=started, seconds=seconds))
        except BaseException:
            if self.live:
                self.live.abandon()
            raise
        if self.live:
            self.live.finish_cell()

    def _choose_learning_rate(self) -> None:
        """From now on train at the rate that is chosen, where the configuration asks for a choice."""
        if self.run.config["tune"] == "lr":
            tuning = self._tuning(self.from_scratch)
            self.learning_rate, self.at_grid_edge = tuning.learning_rate, tuning.at_grid_edge
            self.run = replace(self.run, config=with_learning_rate(self.run.config, tuning.learning_rate))
            self.recipe = components.build_recipe(self.run.config)

    def _open_live_log(self) -> None:
        from notafluke.tracking import LiveLog

        execution = self.run.config["execution"]
        if execution["tracking"]:
            results = Path(execution["results"])
            self.live = LiveLog(self.experiment, results, self.cell, self.run.config, self.pace)

    def _train_blocks(self, seeds: Sequence[int]) -> None:
        """When a block raises, its seeds are tried alone; who raises again has crashed."""
        for block, wanted in self._blocks(seeds):
            if len(block) == 1:
                self._train_alone(block[0])
                continue
            try:
                self._train_block(block, wanted)
            except StorageError:
                raise
            except Exception:
                log.warning("%s: the block of seeds %s failed; each is tried alone", self.cell.folder, list(block))
                log.warning("%s", traceback.format_exc())
                for seed in wanted:
                    if self.from_scratch or recorded(self.cell, seed) is None:
                        self._train_alone(seed)

    def _blocks(self, seeds: Sequence[int]) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
        """Blocks and which of their seeds are wanted: first those that were interrupted, with all seeds they had."""
        left = list(seeds)
        found = [(path, stored.block) for path, stored in stored_blocks(Path(self.cell.folder))]
        for path, block in [] if self.from_scratch else found:
            if block.purpose != "training" or block.cell_key != self.cell.key:
                continue
            unrecorded = [seed for seed in block.seeds if recorded(self.cell, seed) is None]
            if not unrecorded:
                remove(path)
            elif set(unrecorded) <= set(left):
                left = [seed for seed in left if seed not in unrecorded]
                yield block.seeds, unrecorded
            elif set(unrecorded) & set(left):
                log.info("%s: %s goes on once all its seeds are asked for: %s", self.cell.folder, path.name, unrecorded)
        for own in self._block_size(left).split(left):
            yield own, own

    def _block_size(self, seeds: Sequence[int]) -> BlockSize:
        """How many of these seeds train together. On a GPU it is what is configured: it decides the last bits there."""
        from notafluke.training.block_size import BlockSize, choose_block_size

        most = self.most_together
        if not self.device.startswith("cpu"):
            return BlockSize(most)
        try:
            found = choose_block_size(self.recipe, self.task, seeds, self.run.config["replica"], most)
        except Exception:
            # Whatever fails here is told, and recorded, where it fails in training.
            return BlockSize(most)
        if found.seeds < min(most, len(seeds)):
            log.info("%s: %d seeds together, not %d: %s", self.cell.folder, found.seeds, most, found.reason)
        return found

    def _train_alone(self, seed: int) -> None:
        began, started = time.monotonic(), utc_now()
        try:
            self._train_block([seed], [seed], raises=False)
        except StorageError:
            raise
        except Exception as error:
            seconds = time.monotonic() - began
            self._record(SeedResult(seed, 0, "crashed", named(error), started=started, seconds=seconds))

    def _train_block(self, seeds: Sequence[int], wanted: Sequence[int], raises: bool = True) -> None:
        from notafluke.training.engine import train_block

        log.info("%s: training seeds %s", self.cell.folder, ", ".join(map(str, seeds)))
        observer = Progress(self.recipe.max_epochs, self.task.primary_metric, wanted, self.live, sys.stderr.isatty())
        with self.checkpointed(Block(self.cell.key, "training", tuple(seeds))) as checkpoint:
            results = train_block(
                self.recipe,
                self.task,
                seeds,
                self.run.config["replica"],
                observer=observer,
                device=self.device,
                progress_bar=sys.stderr.isatty(),
                checkpoint=checkpoint,
                time_limit=self.time_limit,
                deterministic=self.deterministic,
                raises=raises,
            )
            log.info("%s: %.1f s a seed", self.cell.folder, results[0].seconds)
            for result in results:
                # Another process may have recorded it meanwhile: the same content.
                if result.seed in wanted and (self.from_scratch or recorded(self.cell, result.seed) is None):
                    self._record(result)
            checkpoint.remove()

    def _record(self, result: SeedResult) -> None:
        from notafluke.tracking import remember_runs

        data = self.task.load(result.seed, self.run.config["replica"])
        record = RunRecord(
            run_key=self.cell.run_key(result.seed),
            cell_key=self.cell.key,
            task=self.cell.task,
            changes=dict(self.cell.changes),
            seed=result.seed,
            outcome=result.outcome,
            reason=redact(result.reason),
            last_epoch=result.last_epoch,
            best_epoch=result.best_epoch,
            primary_metric=self.task.primary_metric,
            directions={metric.name: metric.direction for metric in self.task.metrics},
            units={metric.name: metric.unit for metric in self.task.metrics},
            metrics=result.test_metrics,
            validation=result.validation_metrics,
            baselines=[asdict(baseline) for baseline in self.task.baselines(data)],
            parameters=result.parameters,
            seconds=round(result.seconds, 3),
            weight_digest=result.weight_digest,
            provenance=self.provenance,
            learning_rate=self.learning_rate,
            at_grid_edge=self.at_grid_edge,
            started=result.started,
            ended=utc_now(),
            deterministic=self.deterministic,
        )
        config = {**self.run.config, "seed": result.seed}
        folder = self.cell.run_folder(result.seed)
        index = data.test.index
        weights = weights_content(result.best_weights) if self.keeps_weights and result.outcome == "ok" else None
        rest = result.predictions, index, result.series, result.samples, weights
        # Before it is recorded: a line without a record is no harm, and a record without one would not be shown.
        remember_runs(Path(self.run.config["execution"]["results"]), self.experiment, {record.run_key: folder})
        write_record(folder, record, config, result.history, *rest)
        if self.live:
            self.live.finish(record)


def weights_content(weights: Mapping[str, Float32]) -> bytes:
    """Parameters by name as a file that ``torch.load(path, weights_only=True)`` reads."""
    import torch

    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(value) for name, value in weights.items()}, buffer)
    return buffer.getvalue()


def with_learning_rate(config: Mapping[str, Any], rate: float) -> dict[str, Any]:
    """A configuration with another learning rate."""
    return {**config, "optimizer": {**config["optimizer"], "lr": rate}}


@dataclass(frozen=True)
class Progress:
    """Tells the live log about each epoch of the seeds that are wanted and, without a bar, who reads the output."""

    epochs: int
    metric: str
    wanted: Sequence[int]
    live: LiveLog | None
    has_bar: bool

    def started(self, history: Mapping[int, Sequence[Mapping[str, float]]], since: str) -> None:
        """See training.block.Observer."""
        if self.live:
            self.live.start(self.wanted, history, since)

    def epoch_finished(self, epoch: int, metrics: Mapping[int, Mapping[str, float]]) -> None:
        """See training.block.Observer."""
        if self.live:
            self.live.epoch_finished(epoch, {seed: own for seed, own in metrics.items() if seed in self.wanted})
        if not self.has_bar and metrics:
            values = sorted(own[self.metric] for own in metrics.values())
            log.info(
                "epoch %d of %d: %d seeds, validation %s %.4g to %.4g",
                epoch + 1,
                self.epochs,
                len(values),
                self.metric,
                values[0],
                values[-1],
            )
