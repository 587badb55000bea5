"""MLflow as a view of the run records: experiment = study, parent run = cell, child run = seed.

What MLflow shows is made of ``results/`` alone and can be made again at any time. Training never fails because of
MLflow: what cannot be sent stays in the records and is sent later.

* ``database``: where MLflow is; the SQLite database, made whole or not at all; a damaged one is moved aside.
* ``shown``: which experiment shows which run, ``results/experiments.jsonl``.
* ``views``: what MLflow shows of a run and of a cell.
* ``experiment``: one experiment, and how runs come into it.
* ``live``: the log of a training; ``pace``: when MLflow may be spoken to.
* ``failures``: what MLflow has against it, in one line.
* ``processes``: who trains a run; runs whose process is gone.
* ``rebuilding``: what an experiment lacks is added; MLflow made anew from the records.
"""

from notafluke.tracking.database import connect, import_mlflow, local_files, tracking_uri, ui_command
from notafluke.tracking.experiment import Experiment
from notafluke.tracking.live import LiveLog
from notafluke.tracking.pace import Pace
from notafluke.tracking.rebuilding import initialise, rebuild, synchronise
from notafluke.tracking.shown import SINGLE_RUNS, remember_runs, remembered_runs

__all__ = [
    "SINGLE_RUNS",
    "Experiment",
    "LiveLog",
    "Pace",
    "connect",
    "import_mlflow",
    "initialise",
    "local_files",
    "rebuild",
    "remember_runs",
    "remembered_runs",
    "synchronise",
    "tracking_uri",
    "ui_command",
]
