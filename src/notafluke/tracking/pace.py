"""When MLflow may be spoken to while training goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

INTERVAL = 5.0
"""Seconds that epochs are collected at least before they are sent."""
SHARE = 10.0
"""The pause after sending, as a multiple of how long it took: at most a tenth of the time goes into it."""
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 300.0
"""Seconds without another attempt after a failure: at first, doubled by each further one up to the longest."""


class Pace:
    """Throttle and circuit breaker, shared by all cells that one process trains. ``clock`` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.failures = 0
        self.next = clock()

    @property
    def outage(self) -> bool:
        """Whether the last attempt failed."""
        return self.failures > 0

    def due(self) -> bool:
        """Whether it is time to send what was collected, or to try again after a failure."""
        return self.clock() >= self.next

    def succeeded(self, seconds: float) -> bool:
        """Note an attempt that took so long; whether an outage ends with it."""
        ended, self.failures = self.outage, 0
        self.next = self.clock() + max(INTERVAL, SHARE * seconds)
        return ended

    def failed(self, seconds: float) -> bool:
        """Note an attempt that failed after so long; whether an outage begins with it."""
        began = not self.outage
        pause = min(FIRST_PAUSE * 2.0**self.failures, LONGEST_PAUSE)
        self.failures += 1
        self.next = self.clock() + max(pause, SHARE * seconds)
        return began
