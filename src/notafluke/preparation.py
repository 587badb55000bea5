"""The data of a study, prepared before anything trains."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from notafluke import components
from notafluke.configuration import RunConfig, compose_run, conf_folder
from notafluke.errors import UsageError
from notafluke.plan import Plan
from notafluke.tasks.dataset import PROVENANCE

log = logging.getLogger(__name__)


def prepare_study(plan: Plan, folders: Sequence[str] = ()) -> Iterator[str]:
    """Prepare the data of a study that are not there yet, those of the folders or all; each folder as it is ready.

    Raises UsageError for data that cannot be used, and for a folder that is not of the plan: the code or the source has
    changed since.
    """
    cells = {cell.data: cell for cell in plan.distinct_cells if cell.data}
    for folder in folders or cells:
        if folder not in cells:
            raise UsageError(f"{folder} holds no data of {plan.study.name} now: its code or source has changed")
        by_key = {"task": cells[folder].task, **cells[folder].changes}
        prepare_data(compose_run(conf_folder(), by_key))
        yield folder


def prepare_data(run: RunConfig) -> bool:
    """Prepare the data of a run's task where that is not done yet, and say so; whether they are new.

    A folder may be there without its data: Snakemake makes it before the job, and a preparation may have been stopped.
    Raises UsageError for data that cannot be used.
    """
    task = components.build_task(run.config)
    folder = task.prepared_folder()
    if folder is None:
        return False
    before = _written(folder)
    if before is None:
        log.info("preparing the data of task=%s in %s", run.choices["task"], folder)
    task.prepare()
    return _written(folder) != before


def _written(folder: Path) -> int | None:
    """When the data of a folder were finished, None where they are not: their provenance is written last."""
    provenance = folder / PROVENANCE
    return provenance.stat().st_mtime_ns if provenance.is_file() else None
