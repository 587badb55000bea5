"""The log of a training: what MLflow shows while a cell trains. It never fails, and never waits long.

Everything is collected first and sent when it is time (see ``pace``). What could not be sent stays collected and is
sent when MLflow answers again; what is not delivered at the end comes with ``notafluke track sync``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from notafluke.plan import Cell
from notafluke.records import RunRecord, damage
from notafluke.tracking.database import connect, identity, own_database
from notafluke.tracking.experiment import Experiment, cells_of, is_busy, is_others, seeds_of, started_at
from notafluke.tracking.failures import one_line
from notafluke.tracking.pace import Pace
from notafluke.tracking.processes import PROCESS, is_alive, own_process
from notafluke.tracking.shown import below, remembered_runs
from notafluke.tracking.views import (
    Point,
    Recorded,
    View,
    ended_cell,
    ended_run,
    epoch_points,
    now,
    recorded_run,
    starting_cell,
    starting_run,
)

BUDGET = 10.0
"""Seconds after which sending stops, to go on the next time."""
BUDGET_AT_END = 30.0
"""The same when a cell has been trained."""
PATIENCE = 20.0
"""Seconds to wait for another process that creates the database."""
LEFT = "What was not sent comes with: notafluke track sync (or rebuild)"
LATER = "What is missing is sent when it answers again, or comes with: notafluke track sync (or rebuild)"
log = logging.getLogger(__name__)


@dataclass
class SeedLog:
    """What is to be shown of one seed, and what has been sent of it: the epochs that were, and the run that shows it.

    ``times`` in milliseconds since the epoch, by epoch: a metric that is sent again must have the same time.
    ``described``: its parameters have been sent.
    """

    begun: View
    history: dict[int, Mapping[str, float]] = field(default_factory=dict)
    times: dict[int, int] = field(default_factory=dict)
    sent: set[int] = field(default_factory=set)
    run_id: str = ""
    described: bool = False
    end: Recorded | None = None

    def add(self, epoch: int, values: Mapping[str, float]) -> None:
        """Collect an epoch."""
        self.history[epoch] = dict(values)
        self.times.setdefault(epoch, now())

    def send(self, experiment: Experiment) -> None:
        """Send the epochs that have not been sent, and the parameters if they have not."""
        epochs = sorted(self.history.keys() - self.sent)
        if self.described and not epochs:
            return
        points = [point for epoch in epochs for point in epoch_points(epoch, self.history[epoch])]
        parameters = {} if self.described else self.begun.parameters
        experiment.log(self.run_id, points, lambda point: self.times[point.epoch], parameters)
        self.sent.update(epochs)
        self.described = True

    def time_of(self, point: Point, view: View) -> int:
        """When a metric was logged: an epoch that was collected has its own time."""
        own = self.times.get(point.epoch) if point.by_epoch else None
        return view.time_of(point) if own is None else own

    def forget(self) -> None:
        """Nothing has been sent."""
        self.run_id, self.described = "", False
        self.sent.clear()


class LiveLog:
    """Shows a cell in MLflow while its seeds train, block by block. Failures are told once and stop nothing.

    ``pace`` is shared by the cells that one process trains.
    """

    def __init__(
        self, experiment_name: str, results: Path, cell: Cell, config: Mapping[str, Any], pace: Pace | None = None
    ) -> None:
        self.name, self.results, self.cell, self.config = experiment_name, results, cell, config
        self.pace = pace or Pace()
        self.seeds: dict[int, SeedLog] = {}
        self.to_delete: set[str] = set()
        self.cell_begun: View | None = None
        self.cell_id = ""
        self.cell_end: View | None = None
        self.killed = False
        self.experiment: Experiment | None = None
        self.database: tuple[int, int] | None = None
        self.to_look_up = True

    def start(
        self,
        seeds: Sequence[int],
        history: Mapping[int, Sequence[Mapping[str, float]]] | None = None,
        started: str = "",
    ) -> None:
        """Show that seeds train.

        ``history``: the epochs that each has behind it, where training goes on from a checkpoint; ``started`` is when
        the runs started, as it will be recorded (ISO 8601; now where it is left out).
        """
        with self._tolerantly():
            for seed in seeds:
                own = self._begin_seed(seed, started_at(started))
                for epoch, values in enumerate((history or {}).get(seed, ())):
                    own.add(epoch, values)
            self._send()

    def epoch_finished(self, epoch: int, metrics: Mapping[int, Mapping[str, float]]) -> None:
        """See training.block.Observer."""
        with self._tolerantly():
            for seed, values in metrics.items():
                if seed in self.seeds:
                    self.seeds[seed].add(epoch, values)
            self._send()

    def finish(self, record: RunRecord) -> None:
        """The run of a seed has ended and is recorded."""
        with self._tolerantly():
            own = self.seeds.get(record.seed) or self._begin_seed(record.seed, started_at(record.started))
            own.end = Recorded(self.cell.run_folder(record.seed), record)
            self._send()

    def finish_cell(self) -> None:
        """All seeds are recorded: send what is left, and end the run of the cell."""
        with self._tolerantly():
            shown, place = remembered_runs(self.results).get(self.name, {}), below(self.results, Path(self.cell.folder))
            folders = {key: folder for key, folder in shown.items() if folder.rpartition("/")[0] == place}
            runs = [recorded_run(self.results / folder, key) for key, folder in folders.items()]
            own = [run for run in runs if run and run.record.cell_key == self.cell.key and not damage(run.folder)]
            self.cell_end = ended_cell(own) if own else None
            self._send(at_end=True)

    def abandon(self) -> None:
        """The training has been interrupted: mark what is still open as killed."""
        with self._tolerantly():
            self.killed = True
            if self.experiment is not None:
                self._send(at_end=True)

    def _begin_seed(self, seed: int, started: int) -> SeedLog:
        """Collect what there will be of a seed; what was sent of an earlier try of it is to be deleted."""
        if earlier := self.seeds.get(seed):
            self.to_delete |= {earlier.run_id} - {""}
        self.seeds[seed] = SeedLog(starting_run(self.cell, self.config, seed, started))
        self.cell_begun = self.cell_begun or starting_cell(self.cell, self.config, started)
        self.to_look_up = True
        return self.seeds[seed]

    @contextmanager
    def _tolerantly(self) -> Iterator[None]:
        """No failure gets through; the first one of an outage is told."""
        began = self.pace.clock()
        try:
            yield
        except Exception as error:
            # What is there still is looked up when MLflow answers again.
            self.experiment = None
            if self.pace.failed(self.pace.clock() - began):
                log.warning("MLflow: cannot log (%s); training goes on. %s", one_line(error), LATER)

    def _send(self, at_end: bool = False) -> None:
        """Send what there is, if it is time to; at the end it always is, but not during an outage."""
        if not (self.pace.due() or (at_end and not self.pace.outage)):
            return
        began = self.pace.clock()
        budget = BUDGET_AT_END if at_end and not self.killed else BUDGET
        for _ in self._pieces():
            if self.pace.clock() - began > budget:
                if at_end:
                    log.warning("MLflow is slow. %s", LEFT)
                break
        if self.pace.succeeded(self.pace.clock() - began):
            log.warning("MLflow: logs again; what was missing is sent")

    def _pieces(self) -> Iterator[None]:
        """Send everything, a piece at a time: after each it may be stopped, and goes on there the next time."""
        experiment = self._connected()
        yield
        for run_id in sorted(self.to_delete):
            experiment.client.delete_run(run_id)
            self.to_delete.remove(run_id)
            yield
        wanted = [own for own in self.seeds.values() if own.end is not None or not self.killed]
        if wanted and not self.cell_id and self.cell_begun is not None:
            self._begin_cell(experiment, self.cell_begun)
            yield
        for seed, own in list(self.seeds.items()):
            if own.end is not None:
                self._end_seed(experiment, own, own.end)
            elif not self.killed:
                self._continue_seed(experiment, own)
            elif own.run_id:
                experiment.end(own.run_id, "KILLED", now())
            if own.end is not None or self.killed:
                del self.seeds[seed]
            yield
        if self.cell_end is not None or (self.killed and self.cell_id):
            self._end_cell(experiment)

    def _connected(self) -> Experiment:
        """The experiment; after a failure, or where the database is another one now, what it shows is looked up."""
        path = own_database(self.results)
        if self.experiment is None or (path is not None and identity(path) != self.database):
            client = connect(self.results, live=True, thorough=self.pace.outage, patience=PATIENCE)
            experiment = Experiment(client, self.results, self.name, PATIENCE)
            experiment.close_orphans()
            self.database = None if path is None else identity(path)
            self.experiment, self.to_look_up = experiment, True
        if self.to_look_up:
            self._look_up(self.experiment)
            self.to_look_up = False
        return self.experiment

    def _look_up(self, experiment: Experiment) -> None:
        """Find out what of this cell is there: what has got lost is sent again, earlier tries are to be deleted."""
        runs = experiment.cell_runs(self.cell.key)
        there = {str(run.info.run_id) for run in runs}
        self.cell_id = self.cell_id if self.cell_id in there else ""
        self.to_delete &= there
        by_key = {own.begun.tags["run_key"]: own for own in self.seeds.values()}
        for own in by_key.values():
            if own.run_id not in there:
                own.forget()
        for run in seeds_of(runs):
            found = by_key.get(run.data.tags.get("run_key", ""))
            if found is not None and run.info.run_id != found.run_id and not is_others(run):
                self.to_delete.add(str(run.info.run_id))

    def _begin_cell(self, experiment: Experiment, view: View) -> None:
        """The run of the cell: one that is being trained, else a new one in place of earlier ones."""
        runs = experiment.cell_runs(self.cell.key)
        shared = [run for run in cells_of(runs) if is_busy(run)]
        self.cell_id = str(shared[0].info.run_id) if shared else experiment.replace_cell(view, runs, own_process())

    def _end_cell(self, experiment: Experiment) -> None:
        """End the run of the cell; where another process trains more of its seeds, that one ends it."""
        runs = experiment.cell_runs(self.cell.key)
        others = [run for run in seeds_of(runs) if is_others(run)]
        others += [run for run in cells_of(runs) if is_others(run) and is_alive(run.data.tags[PROCESS])]
        if others:
            for run in cells_of(runs):
                if run.data.tags.get(PROCESS) == own_process():
                    experiment.client.set_tag(run.info.run_id, PROCESS, others[0].data.tags[PROCESS])
        elif self.killed:
            experiment.end(self.cell_id, "KILLED", now())
        elif self.cell_end is not None:
            experiment.end_cell(self.cell_end, runs)

    def _continue_seed(self, experiment: Experiment, own: SeedLog) -> None:
        """Show a seed that trains, with the epochs that have not been sent."""
        if not own.run_id:
            own.run_id = experiment.start(own.begun, self.cell_id, own_process())
        own.send(experiment)

    def _end_seed(self, experiment: Experiment, own: SeedLog, end: Recorded) -> None:
        """Show how a seed ended, just as its record has it."""
        view = ended_run(end)
        if own.run_id and (own.begun.started, own.begun.parameters) != (view.started, view.parameters):
            experiment.client.delete_run(own.run_id)
            own.forget()
        if not own.run_id:
            experiment.show(view, self.cell_id)
            return
        unsent = [point for point in view.points if not (point.by_epoch and point.epoch in own.sent)]
        experiment.log(own.run_id, unsent, lambda point: own.time_of(point, view), view.parameters, view.tags)
        experiment.add_files(own.run_id, view)
        experiment.end(own.run_id, view.status, view.ended or now())
