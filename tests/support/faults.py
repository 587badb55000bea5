"""Faults with real processes: a command killed at a moment, and a disk that is full."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass
class Running:
    """A command that runs in a session of its own, with everything that it has started; its output goes to a file."""

    process: subprocess.Popen[bytes]
    output: Path
    began: float

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self.began

    def members(self) -> list[int]:
        """The processes of its session that still run."""
        return [pid for pid in psutil.pids() if _session(pid) == self.process.pid and _runs(pid)]

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole process group, as Ctrl-C in a terminal or a cluster does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """SIGKILL to everything of the session at once, as when the power fails or memory runs out."""
        self.send(signal.SIGKILL)
        self.process.wait()
        for pid in self.members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.gone(30)

    def ended(self, seconds: float) -> int:
        """The exit code of the command, once all of its session is gone. Raises AssertionError after ``seconds``."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it did not end within {seconds:.0f} s:\n{self.text()}") from None
        self.gone(seconds)
        return code

    def gone(self, seconds: float) -> None:
        """Wait until nothing of the session runs any more. Raises AssertionError after ``seconds``."""
        deadline = time.monotonic() + seconds
        while left := self.members():
            if time.monotonic() > deadline:
                names = [_command(pid) for pid in left]
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                raise AssertionError(f"still running after {seconds:.0f} s: {names}")
            time.sleep(0.05)

    def text(self) -> str:
        """What it has printed."""
        return self.output.read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def running(command: Sequence[str], folder: Path, environment: Mapping[str, str], output: Path) -> Iterator[Running]:
    """Start a command in a session of its own; whatever of it still runs at the end is killed."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = Running(process, output, time.monotonic())
    try:
        yield started
    finally:
        started.kill()


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return False


def _command(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return str(pid)


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own that is so small that it can be filled."""

    folder: Path

    def fill(self) -> Path:
        """Take all of the space that is left, and return the file that holds it."""
        ballast = self.folder / ".ballast"
        with ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"\0" * size) == size:
                        pass
        return ballast

    def free(self) -> int:
        """Bytes that are left."""
        state = os.statvfs(self.folder)
        return state.f_bavail * state.f_frsize


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """A tmpfs of a few megabytes, mounted at ``folder``. Raises PermissionError where one may not mount any.

    Root may; so may a user in a namespace of his own: ``unshare --user --map-root-user --mount``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise PermissionError(str(error)) from error
    if done.returncode:
        raise PermissionError(done.stderr.strip())
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
