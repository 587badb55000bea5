"""Being asked to stop (SIGTERM, Ctrl-C, a closed terminal): training keeps its state first, all else stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from notafluke.errors import Stopped

SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP")


class Interruption:
    """Whether the process was asked to stop."""

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        self._waits = False

    @contextmanager
    def waits(self) -> Iterator[None]:
        """Within it a first signal only leaves a note; who works there asks for it and calls `stop_if_asked`."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
        self.stop_if_asked()

    def stop_if_asked(self) -> None:
        """Raise Stopped where a signal has come."""
        if self.asked is not None:
            raise Stopped(self.asked)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal; who sends a second one does not want to wait."""
        patient = self._waits and self.asked is None
        self.asked = signal.Signals(number)
        if not patient:
            raise Stopped(self.asked)


@contextmanager
def stoppable() -> Iterator[Interruption]:
    """Handle the signals that ask to stop, but those that the process was started to ignore (nohup)."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, interruption.note)
    try:
        yield interruption
    finally:
        for number in handled:
            signal.signal(number, before[number])
