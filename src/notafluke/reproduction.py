"""A recorded run trained again by a process of its own that cannot read what is stored, and compared bit by bit.

``reproduce`` starts ``python -m notafluke.reproduction <folder>``, which finds in that folder what it is to train
(``request.json``) and leaves there what came of it (``answer.json`` and a folder of results).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from notafluke.comparison import (
    CONTENT,
    Comparison,
    Difference,
    StoredRun,
    compare_results,
    read_run,
    surroundings_differences,
)
from notafluke.errors import Stopped, UsageError
from notafluke.finding import results_of
from notafluke.interruption import stoppable
from notafluke.plan import Plan
from notafluke.records import METRICS, read_record
from notafluke.seal import seal
from notafluke.tasks.base import Task
from notafluke.tasks.dataset import RAW, DatasetTask, read_prepared
from notafluke.tuning import FACTORS, FILE

REQUEST, ANSWER, OWN_RESULTS = "request.json", "answer.json", "results"
TRACKING_URI, SEALED_URI = "MLFLOW_TRACKING_URI", "NOTAFLUKE_SEALED_URI"


@dataclass(frozen=True)
class Reproduction:
    """What came of training a run again.

    ``surroundings`` is what differs in code, data, versions and machine; ``kept`` the folder of the new run, None where
    it was removed.
    """

    stored: StoredRun
    again: StoredRun
    comparison: Comparison
    surroundings: tuple[Difference, ...]
    seconds: float
    kept: Path | None

    @property
    def same_key(self) -> bool:
        """Whether configuration, data, code, versions and kind of device are still the same."""
        return self.stored.record.run_key == self.again.record.run_key


def reproduce(folder: Path, results: Path, keep: bool = False) -> Reproduction:
    """Train the run in a folder again from its recorded configuration, and compare. Nothing below ``results`` changes.

    ``results`` is the project's folder of results. Raises UsageError for a run that cannot be trained here.
    """
    own_results = results_of(folder) or results
    stored = read_run(folder, own_results)
    request = request_of(stored, own_results, {results.resolve(), own_results.resolve()})
    with _starting_again(), stoppable(), _workplace(keep) as place:
        (place / REQUEST).write_text(json.dumps(request), encoding="utf-8")
        began = time.monotonic()
        again_folder = _train_again(place, folder)
        seconds = time.monotonic() - began
        again = read_run(again_folder, place / OWN_RESULTS)
        return Reproduction(
            stored=stored,
            again=again,
            comparison=compare_results(stored, again, trained_again=True),
            surroundings=tuple(surroundings_differences(stored, again)),
            seconds=seconds,
            kept=again_folder if keep else None,
        )


def sample_runs(plan: Plan, count: int, seed: int) -> list[Path]:
    """The folders of some recorded runs of a study, the same for the same seed. Raises UsageError without any.

    Of those whose outcome is content; also a run whose record is damaged, so that it is told.
    """
    folders = [cell.run_folder(own) for cell in plan.distinct_cells for own in plan.study.seeds]
    recorded = [folder for folder in folders if (folder / METRICS).is_file()]
    if not recorded:
        raise UsageError(f"study {plan.study.name}: no run of it is recorded")
    random.Random(seed).shuffle(recorded)
    # Read one by one: a study may have thousands.
    chosen = list(islice(filter(_is_content, recorded), count))
    if not chosen:
        raise UsageError(f"study {plan.study.name}: no run of it came to an end ({' or '.join(CONTENT)})")
    return chosen


def _is_content(folder: Path) -> bool:
    record = read_record(folder)
    return record is None or record.outcome in CONTENT


def request_of(stored: StoredRun, own_results: Path, all_results: Collection[Path]) -> dict[str, Any]:
    """What the process is told: the run as it was configured, where prepared data are, and what it must not open.

    Raises UsageError where a chosen learning rate is recorded, but not what it was chosen from.
    """
    record, config = stored.record, dict(stored.config)
    if config.get("tune") == "lr":
        if stored.tuning is None:
            raise UsageError(
                f"{stored.folder}: {FILE} of its cell is missing or damaged, which says from which learning rates the "
                "run's was chosen"
            )
        # The recorded configuration has the rate that was chosen.
        config["optimizer"] = {**config["optimizer"], "lr": stored.tuning.rates[FACTORS.index(1.0)]}
    return {
        "config": {**config, "seed": record.seed},
        "task": record.task,
        "changes": dict(record.changes),
        "limited": record.outcome == "timeout",
        "data": str((own_results / "data").resolve()),
        "closed": [str(path) for path in sorted({*all_results, stored.folder.resolve(), *_tracked_files(all_results)})],
        "open": [str(path / "data") for path in sorted(all_results)],
        "results": [str(path) for path in sorted(all_results)],
    }


def _tracked_files(all_results: Collection[Path]) -> Iterator[Path]:
    """The database of MLflow, wherever it lies on this machine."""
    from notafluke.tracking import local_files, tracking_uri

    for results in all_results:
        yield from local_files(tracking_uri(results))


@contextmanager
def _starting_again() -> Iterator[None]:
    try:
        yield
    except Stopped as stopped:
        raise Stopped(stopped.number, "no result has changed, and the same command starts again") from None


@contextmanager
def _workplace(keep: bool) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="notafluke-"))
    try:
        yield place
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    if not keep:
        shutil.rmtree(place, ignore_errors=True)


def _train_again(place: Path, folder: Path) -> Path:
    """Start the process and wait for it; the folder of the new run. Raises UsageError where it leaves none."""
    # -P: a file of the working folder, random.py say, stands in for no module of Python.
    command = [sys.executable, "-P", "-m", "notafluke.reproduction", str(place)]
    # It must not know of a server that holds the stored runs, but which secrets are to be redacted.
    own = {SEALED_URI if name == TRACKING_URI else name: value for name, value in os.environ.items()}
    # What it prints belongs to the progress.
    done = subprocess.run(command, stdout=2, env=own, check=False)
    try:
        answer = json.loads((place / ANSWER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(
            f"{folder}: the process that trained it again ended with code {done.returncode} and left nothing"
        ) from None
    if "error" in answer:
        raise UsageError(f"{folder}: it cannot be trained again here: {answer['error']}")
    return Path(answer["folder"])


# ---- the process -----------------------------------------------------------------------------------------------------


def train_request(place: Path) -> Path:
    """Train what the request in a folder says, sealed off from the stored results; the folder of the new run.

    Raises UsageError for what cannot be trained here.
    """
    request = json.loads((place / REQUEST).read_text(encoding="utf-8"))
    seal(map(Path, request["closed"]), [*map(Path, request["open"]), place])
    from notafluke import components
    from notafluke.cell_training import CellTraining
    from notafluke.configuration import RunConfig, conf_folder
    from notafluke.environments import leave_out
    from notafluke.interruption import Interruption
    from notafluke.plan import make_cell
    from notafluke.preparation import prepare_data
    from notafluke.trust import require_trusted

    leave_out(map(Path, request["results"]))
    config = _executed_here(request["config"], place / OWN_RESULTS, request["limited"])
    require_trusted(config, conf_folder())
    choices = {**dict.fromkeys(config, "as recorded"), **request["changes"], "task": request["task"]}
    run = RunConfig(config, choices, request["changes"], {})
    _check_device(config["execution"]["device"])
    task = components.build_task(config)
    copy_data(task, Path(request["data"]), place / OWN_RESULTS / "data")
    prepare_data(run)
    cell = make_cell(run)
    seed = config["seed"]
    CellTraining(run, cell, "reproduction", Interruption()).train([seed])
    return cell.run_folder(seed)


def _executed_here(config: Mapping[str, Any], results: Path, limited: bool) -> dict[str, Any]:
    """A recorded configuration, carried out in another folder and without tracking; a time limit only where it hit."""
    execution = {**config["execution"], "results": str(results), "tracking": False, "retrain": False}
    trainer = {**config["trainer"], "time_limit": config["trainer"].get("time_limit") if limited else None}
    return {**config, "execution": execution, "trainer": trainer}


def _check_device(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        if (torch.device(device).index or 0) >= torch.cuda.device_count():
            raise UsageError(
                f"it was trained on {device}, and torch finds {torch.cuda.device_count()} CUDA devices here"
            )


def copy_data(task: Task, stored: Path, own: Path) -> None:
    """Copy the prepared data of a task; unless they are whole, the downloads that they are prepared from as well.

    ``stored`` is ``<results>/data``, ``own`` the same of the new run.
    """
    folder = task.prepared_folder()
    if folder is None:
        return
    names = [folder.name]
    if not isinstance(task, DatasetTask) or read_prepared(task.dataset, stored.parent) is None:
        names.append(RAW)
    for name in names:
        if (stored / name).is_dir():
            shutil.copytree(stored / name, own / name)


def main() -> None:
    """``python -m notafluke.reproduction FOLDER``: the process that trains again; see the module's docstring."""
    import logging

    from notafluke.redaction import redacting_handler, show_exception
    from notafluke.training.determinism import pin_environment

    pin_environment()
    sys.excepthook = show_exception
    logging.basicConfig(level=logging.INFO, handlers=[redacting_handler("%(asctime)s %(message)s", "%H:%M:%S")])
    place = Path(sys.argv[1])
    try:
        answer = {"folder": str(train_request(place))}
    except UsageError as error:
        answer = {"error": str(error)}
    except Exception as error:
        # Such as a key that the configuration of an older version lacks.
        show_exception(type(error), error, error.__traceback__)
        answer = {"error": f"{type(error).__name__}: {error}"}
    (place / ANSWER).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
