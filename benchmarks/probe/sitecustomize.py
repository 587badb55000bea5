"""Put first on PYTHONPATH by ``benchmarks/startup.py``: a training process then says when it has come how far.

Lines of mark, time and processor time, separated by tabs, go to the file that STARTUP_MARKS names; the time is that of
the system's monotonic clock, which all processes share.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

MARKS = os.environ.get("STARTUP_MARKS", "")


def mark(name: str) -> None:
    """Write one line."""
    now, used = time.monotonic(), time.process_time()
    with Path(MARKS).open("a", encoding="utf-8") as file:
        file.write(f"{name}\t{now}\t{used}\n")


def marked(owner: Any, name: str, what: str, once: bool = False) -> None:
    """Let a function say when it begins and ends; with ``once`` only when it begins for the first time."""
    own = getattr(owner, name)

    @functools.wraps(own)
    def told(*arguments: Any, **options: Any) -> Any:
        mark(f"{what}:begin")
        if once:
            setattr(owner, name, own)
            return own(*arguments, **options)
        try:
            return own(*arguments, **options)
        finally:
            mark(f"{what}:end")

    setattr(owner, name, told)


TELLING = ("started", "epoch_finished")
"""What the engine calls to have its metrics shown: not training, but the live log."""

AFTER: dict[str, Callable[[ModuleType], Any]] = {
    "mlflow": lambda module: None,
    "pytorch_lightning": lambda module: marked(module.Trainer, "fit", "fit"),
    "notafluke.cell_training": lambda module: [marked(module.Progress, name, "telling") for name in TELLING],
    "notafluke.train": lambda module: marked(module, "train_cell", "cell"),
    "notafluke.training.block": lambda module: marked(module.SeedBlock, "learn", "step", once=True),
}


class Marking(importlib.abc.MetaPathFinder):
    """Marks begin and end of the imports of AFTER, and prepares what they bring."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        """The spec that the other finders give, whose loader also marks."""
        if name not in AFTER:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        load = spec.loader.exec_module  # type: ignore[union-attr]

        def exec_module(module: ModuleType) -> None:
            mark(f"import {name}:begin")
            load(module)
            mark(f"import {name}:end")
            AFTER[name](module)

        spec.loader.exec_module = exec_module  # type: ignore[union-attr]
        return spec


if MARKS:
    mark("process:begin")
    sys.meta_path.insert(0, Marking())
