"""What `notafluke fetch` does: freeze the data of a web service, before anything is planned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from notafluke import components
from notafluke.configuration import compose_run, conf_folder, overrides_by_key
from notafluke.errors import UsageError
from notafluke.tasks.dataset import LOCK_FILE, RAW, DatasetTask
from notafluke.tasks.online import OnlineDataset


def fetch(overrides: Sequence[str]) -> Iterator[str]:
    """Download the data of a run's task and freeze them in the lock file; yield lines of progress.

    ``overrides`` are those of the run, ``task=earthquake task.source=usgs``. A source that is not of a web service
    needs no fetching, and a line says so. Raises UsageError.
    """
    by_key = overrides_by_key(overrides)
    if "task" not in by_key:
        raise UsageError("fetch needs a task, for example: notafluke fetch task=earthquake task.source=usgs")
    run = compose_run(conf_folder(), by_key)
    task = components.build_task(run.config)
    name = f"task={run.choices['task']}"
    if isinstance(task, DatasetTask):
        task.check_options()
        dataset = task.dataset
        if isinstance(dataset, OnlineDataset) and dataset.online:
            yield from dataset.fetch(task.results / "data" / RAW, LOCK_FILE)
            return
        name += f" task.source={dataset.source}"
    yield f"{name}: nothing to fetch; its data are not of a web service"
