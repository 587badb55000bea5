"""Checkpoints: the state of a block of seeds that is still training, ``checkpoint-<8 hex>.pt`` in its cell's folder.

The first line of the file is the SHA-256 of the rest, which PyTorch reads without pickle (``weights_only=True``). A
file that is not as it was written is not used.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import pickle
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from notafluke.errors import StorageError
from notafluke.files import remove, write_atomic
from notafluke.interruption import Interruption

PATTERN = "checkpoint-*.pt"
SECONDS_BETWEEN = 30.0
"""Within an epoch; at its end there always is one."""
UNREADABLE = (pickle.PickleError, RuntimeError, ValueError, KeyError, TypeError, AttributeError)
"""What PyTorch raises for what it cannot store, or not read again without pickle."""
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
    """What a checkpoint holds: whose it is, where it was written (see `machine`), and the state of the SeedBlock."""

    block: Block
    machine: str
    state: Mapping[str, Any]

    @property
    def where(self) -> str:
        """How far it is, in words."""
        words = "pretraining, " if self.state.get("pretraining") else ""
        return f"{words}epoch {self.state.get('epoch', 0) + 1}, step {self.state.get('step', 0)}"


@dataclass
class BlockCheckpoint:
    """The checkpoint of one block; see training.block.Checkpoint."""

    folder: Path
    block: Block
    interruption: Interruption
    device: str = "cpu"
    written: float = field(default_factory=time.monotonic)
    told: bool = False
    tried: bool = False

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / self.block.file_name

    def read(self) -> Mapping[str, Any] | None:
        """The state that was kept last; None where there is none, or it is damaged, or of another block or machine."""
        stored = read_checkpoint(self.path)
        if stored is None or stored.block != self.block:
            return None
        if stored.machine != (here := machine(self.device)):
            # Half of it from here and half from there would be a run that no machine can repeat.
            log.warning("%s is of %s, and this is %s: the block starts again", self.path, stored.machine, here)
            return None
        return stored.state

    def is_due(self) -> bool:
        """Whether the last one is old, or the process was asked to stop."""
        return self.interruption.asked is not None or time.monotonic() - self.written >= SECONDS_BETWEEN

    def write(self, state: Mapping[str, Any]) -> None:
        """Keep a state; where it cannot be kept, training goes on. Raises Stopped where that was asked for."""
        try:
            content = checkpoint_content(Stored(self.block, machine(self.device), state))
            if not self.tried:
                # What a component has put there may be nothing that can be read again without pickle.
                parse_checkpoint(content)
                self.tried = True
            write_atomic(self.path, content)
        except (StorageError, *UNREADABLE) as error:
            if not self.told:
                reason = " ".join(str(error).split()) or type(error).__name__
                log.warning("no checkpoint: %s; training goes on, and an interruption would lose it", reason)
            self.told = True
        self.written = time.monotonic()
        self.interruption.stop_if_asked()

    def remove(self) -> None:
        """Remove it: the block is recorded."""
        remove(self.path)


def machine(device: str) -> str:
    """What, beside the run's content, decides the last digits: the vector instructions of the CPU, or the GPU."""
    import torch

    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    return str(torch.backends.cpu.get_cpu_capability())


def checkpoint_content(stored: Stored) -> bytes:
    """The content of a checkpoint's file."""
    import torch

    buffer = io.BytesIO()
    torch.save({"block": asdict(stored.block), "machine": stored.machine, "state": dict(stored.state)}, buffer)
    return hashlib.sha256(buffer.getvalue()).hexdigest().encode() + b"\n" + buffer.getvalue()


def read_checkpoint(path: Path) -> Stored | None:
    """What a checkpoint's file holds; None where there is none, or it is not as it was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    try:
        return parse_checkpoint(content)
    except UNREADABLE as error:
        log.warning("%s is damaged and is not used (%s): the block starts again", path, type(error).__name__)
        return None


def parse_checkpoint(content: bytes) -> Stored:
    """What a checkpoint's content holds. Raises one of UNREADABLE where it is not as it was written."""
    import torch

    digest, _, saved = content.partition(b"\n")
    if digest.decode(errors="replace") != hashlib.sha256(saved).hexdigest():
        raise ValueError("its digest is not that of its content")
    tree = torch.load(io.BytesIO(saved), map_location="cpu", weights_only=True)
    block = tree["block"]
    seeds, rates = tuple(block["seeds"]), tuple(block["learning_rates"])
    return Stored(Block(block["cell_key"], block["purpose"], seeds, rates), tree["machine"], tree["state"])


def stored_blocks(folder: Path) -> Iterator[tuple[Path, Stored]]:
    """The checkpoints in the folder of a cell that can be used."""
    for path in sorted(folder.glob(PATTERN)):
        if (stored := read_checkpoint(path)) is not None:
            yield path, stored
