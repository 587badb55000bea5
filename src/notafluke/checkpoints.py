"""Checkpoints: the state of a block of seeds that is still training, ``checkpoint-<8 hex>.pt`` in its cell's folder.

The first line of the file is the SHA-256 of the rest, which PyTorch reads without pickle (``weights_only=True``). A
file that is not as it was written is not used.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from notafluke.errors import StorageError
from notafluke.files import write_atomic
from notafluke.interruption import Interruption

PATTERN = "checkpoint-*.pt"
SECONDS_BETWEEN = 30.0
"""Within an epoch; at its end there always is one."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Block:
    """Which block of a cell: its seeds, and when it tunes the learning rate of each."""

    cell_key: str
    purpose: Literal["training", "tuning"]
    seeds: tuple[int, ...]
    learning_rates: tuple[float, ...] = ()

    @property
    def file_name(self) -> str:
        """Of its checkpoint."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return PATTERN.replace("*", digest[:8])


@dataclass(frozen=True)
class Stored:
    """What a checkpoint holds: whose it is and the state (training.block.SeedBlock.state)."""

    block: Block
    state: Mapping[str, Any]

    @property
    def where(self) -> str:
        """How far it is, in words."""
        words = "pretraining, " if self.state["pretraining"] else ""
        return f"{words}epoch {self.state['epoch'] + 1}, step {self.state['step']}"


@dataclass
class BlockCheckpoint:
    """The checkpoint of one block; see training.block.Checkpoint."""

    folder: Path
    block: Block
    interruption: Interruption
    written: float = field(default_factory=time.monotonic)
    told: bool = False

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / self.block.file_name

    def read(self) -> Mapping[str, Any] | None:
        """The state that was kept last; None where there is none, or it is damaged or of another block."""
        stored = read_checkpoint(self.path)
        return stored.state if stored is not None and stored.block == self.block else None

    def is_due(self) -> bool:
        """Whether the last one is old, or the process was asked to stop."""
        return self.interruption.asked is not None or time.monotonic() - self.written >= SECONDS_BETWEEN

    def write(self, state: Mapping[str, Any]) -> None:
        """Keep a state; a disk that is full does not stop the training. Raises Stopped where that was asked for."""
        try:
            write_atomic(self.path, checkpoint_content(Stored(self.block, state)))
        except StorageError as error:
            if not self.told:
                log.warning("no checkpoint: %s; training goes on, and an interruption would lose it", error)
            self.told = True
        self.written = time.monotonic()
        self.interruption.stop_if_asked()

    def remove(self) -> None:
        """Remove it: the block is recorded."""
        self.path.unlink(missing_ok=True)


def checkpoint_content(stored: Stored) -> bytes:
    """The content of a checkpoint's file."""
    import torch

    buffer = io.BytesIO()
    torch.save({"block": asdict(stored.block), "state": dict(stored.state)}, buffer)
    return hashlib.sha256(buffer.getvalue()).hexdigest().encode() + b"\n" + buffer.getvalue()


def read_checkpoint(path: Path) -> Stored | None:
    """What a checkpoint's file holds; None where there is none, or it is not as it was written."""
    import pickle

    import torch

    try:
        digest, _, content = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    if digest.decode(errors="replace") != hashlib.sha256(content).hexdigest():
        log.warning("%s is damaged and is not used: the block starts again", path)
        return None
    try:
        tree = torch.load(io.BytesIO(content), weights_only=True)
        block = tree["block"]
        seeds, rates = tuple(block["seeds"]), tuple(block["learning_rates"])
        return Stored(Block(block["cell_key"], block["purpose"], seeds, rates), tree["state"])
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s cannot be used (%s): the block starts again", path, type(error).__name__)
        return None


def stored_blocks(folder: Path) -> Iterator[tuple[Path, Stored]]:
    """The checkpoints in the folder of a cell that can be used."""
    for path in sorted(folder.glob(PATTERN)):
        if (stored := read_checkpoint(path)) is not None:
            yield path, stored
