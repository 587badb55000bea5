"""Whether the seeds of a study can decide its claims at all; told before anything trains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from notafluke.report.numbers import number, p_text

if TYPE_CHECKING:
    from notafluke.claims import StudyLike


def undecidable(study: StudyLike) -> list[str]:
    """Return a warning where the seeds are too few for any p to pass Holm's correction of the declared claims."""
    m = sum(len(claim.tasks) for claim in study.claims if claim.role == "claim")
    if not m or study.test == "paired_t" or study.correction != "holm":
        return []
    seeds, level = len(study.seeds), study.alpha / m
    smallest = 2 * 0.5**seeds
    comparisons = f"{m} comparison{'s' if m > 1 else ''}"
    start = f"{seeds} seeds cannot decide {comparisons}: the smallest p of an exact test is {p_text(smallest)}, "
    if not study.looks:
        needed = math.ceil(math.log2(2 / level))
        told = f"{start}above alpha / m = {number(level)}; it takes {needed} seeds or more"
        return [told] if smallest > level else []
    # Here, because it imports the statistics, and every plan comes by.
    from notafluke.looks import Schedule

    schedule = Schedule.of(study)
    share = schedule.level(level)
    if smallest <= share:
        return []
    later = next((size for size in study.looks if 2 * 0.5**size <= schedule.level_at(size, level)), None)
    hope = f"the look at {later} seeds can" if later else "nor can a later look"
    return [f"{start}above {number(share)}, what this look may spend of alpha / m (spending: {study.spending}); {hope}"]
