"""Training of the runs of one cell, and the plain Hydra program ``python -m notafluke.train``."""

from __future__ import annotations

import importlib
import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notafluke import components
from notafluke.cell_training import CellTraining, recorded
from notafluke.configuration import (
    RunConfig,
    compose_run,
    conf_folder,
    overrides_by_key,
    seed_values,
    sweep_values,
)
from notafluke.errors import DEBUG, StorageError, UsageError, told_in_one_line
from notafluke.importing import without_collection
from notafluke.interruption import Interruption, stoppable
from notafluke.names import require_inside
from notafluke.plan import Cell, Plan, make_cell
from notafluke.preparation import prepare_data
from notafluke.records import SAMPLES, WEIGHTS, RunRecord
from notafluke.redaction import redact_logging, redacted_tracebacks, show_exception
from notafluke.registration import register
from notafluke.training.determinism import pin_environment

if TYPE_CHECKING:
    from notafluke.tracking import Pace

log = logging.getLogger(__name__)


def train_cells(
    plan: Plan, folders: Sequence[str], retrain: bool, interruption: Interruption | None = None
) -> Iterator[tuple[Cell, list[RunRecord]]]:
    """Train the missing runs of the cells of a plan that have these folders, one cell after another.

    A cell that cannot be trained is told and keeps no other one from its training; what it raised is raised at the end.
    Raises UsageError for a folder that is not of the plan: the code or the configuration has changed since.
    """
    from notafluke.tracking import Pace

    cells = {cell.folder: cell for cell in plan.distinct_cells}
    for folder in folders:
        if folder not in cells:
            raise UsageError(f"{folder} is no cell of {plan.study.name} now: its code or configuration has changed")
    seeds = ",".join(map(str, plan.study.seeds))
    pace = Pace()
    failed: list[Exception] = []
    for folder in folders:
        overrides = [*cells[folder].overrides, f"seed={seeds}", f"execution.retrain={str(retrain).lower()}"]
        try:
            records = train_cell(overrides, plan.study.name, plan, interruption, pace)
        except StorageError:
            raise
        except Exception as error:
            if len(folders) > 1:
                told = str(error) if isinstance(error, UsageError) else traceback.format_exc()
                log.error("%s: not trained: %s", folder, told)
            failed.append(error)
            continue
        yield cells[folder], records
    if failed:
        raise failed[0]


def train_cell(
    overrides: Sequence[str],
    experiment: str,
    plan: Plan | None = None,
    interruption: Interruption | None = None,
    pace: Pace | None = None,
) -> list[RunRecord]:
    """Train the runs of one cell that are not recorded yet and return the records of all that were asked for.

    ``overrides`` may hold several seeds (``seed=range(0,10)``). With ``plan``, its study is registered before
    anything trains. Where all are recorded, nothing is tried and no caution told. When ``interruption`` is asked for,
    the state of the block is kept and Stopped is raised; the next call goes on from there. ``pace`` is that of the
    live log. Raises UsageError before anything is written.
    """
    by_key = overrides_by_key(overrides)
    seeds = sorted(seed_values(by_key.get("seed", 0)))
    run = compose_run(conf_folder(), {**by_key, "seed": str(seeds[0])})
    if not run.config["execution"]["retrain"] and (records := _records_if_all_there(run, seeds)) is not None:
        return records
    import_what_trains(run.config["execution"])
    for caution in components.check(run):
        log.warning("warning: %s", caution)
    if prepare_data(run):
        # The first time it may have been an example that was tried.
        components.check(run)
    cell = make_cell(run)
    execution = run.config["execution"]
    require_inside(Path(execution["results"]), *(cell.run_folder(seed) / SAMPLES for seed in seeds))
    missing = seeds if execution["retrain"] else [seed for seed in seeds if recorded(cell, seed) is None]
    if missing:
        if plan is not None:
            register(plan)
        CellTraining(run, cell, experiment, interruption or Interruption(), pace).train(missing)
    _tell_of_weights(run, cell, [seed for seed in seeds if seed not in missing])
    return [record for seed in seeds if (record := recorded(cell, seed)) is not None]


def import_what_trains(execution: Mapping[str, Any]) -> None:
    """Import at once what the first cell of a process would import bit by bit: torch, Lightning, MLflow."""
    if "notafluke.training.engine" in sys.modules:
        return
    with without_collection():
        if execution["tracking"]:
            from notafluke.tracking import import_mlflow

            import_mlflow(Path(execution["results"]))
        importlib.import_module("notafluke.training.dry_pass")
        importlib.import_module("notafluke.training.engine")


def _records_if_all_there(run: RunConfig, seeds: Sequence[int]) -> list[RunRecord] | None:
    """The records of a cell's seeds where all are there. Tries nothing, so it takes no torch."""
    try:
        cell = make_cell(run)
    except Exception:
        # A file of the user's that cannot be read, say: told better by what tries everything in its order.
        return None
    require_inside(Path(run.config["execution"]["results"]), *(cell.run_folder(seed) / SAMPLES for seed in seeds))
    records = []
    for seed in seeds:
        if (record := recorded(cell, seed)) is None:
            return None
        records.append(record)
    log.info("%s: all %d runs are recorded already", cell.folder, len(seeds))
    _tell_of_weights(run, cell, seeds)
    return records


def _tell_of_weights(run: RunConfig, cell: Cell, seeds: Sequence[int]) -> None:
    """Warn where weights are to be kept, but these seeds were recorded without."""
    if run.config["trainer"].get("keep") == "best" and not all(
        (cell.run_folder(own) / WEIGHTS).exists() for own in seeds
    ):
        log.warning("warning: runs recorded before have no weights.pt; execution.retrain=true (snakemake -F) keeps it")


def check_hydra_arguments(arguments: Sequence[str]) -> None:
    """Check the overrides of a Hydra command line, sweeps value by value. Raises UsageError."""
    from hydra._internal.utils import get_args_parser

    parsed = get_args_parser().parse_known_args(list(arguments))[0]
    by_key = overrides_by_key([text for text in parsed.overrides if not text.lstrip("+~").startswith("hydra")])
    values = {key: sweep_values(key, value) if parsed.multirun else [value] for key, value in by_key.items()}
    if parsed.multirun:
        seed_values(by_key.get("seed", 0))
    first = {key: own[0] for key, own in values.items()}
    others = [{**first, key: one} for key, own in values.items() if key != "seed" for one in own[1:]]
    for overrides in [first, *others]:
        components.check(compose_run(conf_folder(), overrides))


def main() -> None:
    """``python -m notafluke.train``: a plain Hydra program, with ``-m``, ``--cfg job`` and the rest of Hydra's flags.

    Trains the run of the composed configuration under its key, unless it is recorded already.
    """
    pin_environment()
    sys.excepthook = show_exception
    import hydra
    from hydra.core.hydra_config import HydraConfig

    from notafluke.tracking import SINGLE_RUNS

    def task_function(_: Any) -> None:
        redact_logging(logging.getLogger())
        overrides = list(HydraConfig.get().overrides.task)
        with redacted_tracebacks(), told_in_one_line(debug), stoppable() as interruption:
            for record in train_cell(overrides, SINGLE_RUNS, interruption=interruption):
                print(json.dumps({"run_key": record.run_key, "outcome": record.outcome, **record.metrics}))

    debug = DEBUG in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != DEBUG]
    with told_in_one_line(debug):
        conf = conf_folder()
        check_hydra_arguments(sys.argv[1:])
    hydra.main(version_base="1.3", config_path=str(conf), config_name="config")(task_function)()


if __name__ == "__main__":
    main()
