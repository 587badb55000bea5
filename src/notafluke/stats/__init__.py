"""Statistics of paired differences: pure functions on array-likes.

`differences` are treatment - control (higher is better), already paired. Tests and intervals return frozen dataclasses,
effects and counts numbers. Valid input never gives NaN or p = 0.
"""

from notafluke.stats._checks import Alternative, DegenerateWarning
from notafluke.stats.effects import (
    ProbabilityOfImprovementResult,
    cohens_dz,
    paired_probability_of_improvement,
    rank_biserial,
)
from notafluke.stats.failures import intention_to_treat_differences
from notafluke.stats.multiplicity import (
    Adjustment,
    adjust,
    benjamini_hochberg,
    benjamini_yekutieli,
    bonferroni,
    hochberg,
    holm,
    holm_sidak,
    sidak,
)
from notafluke.stats.power import (
    PowerTest,
    minimum_detectable_effect,
    power_paired_t,
    power_signed_rank,
    seeds_needed,
)
from notafluke.stats.ranks import Zeros
from notafluke.stats.rounding import round_significant
from notafluke.stats.sign_flip import SignFlipResult, sign_flip_test
from notafluke.stats.signed_rank import Method, SignedRankResult, signed_rank_test
from notafluke.stats.t_tests import (
    PairedTResult,
    TIntervalResult,
    TostResult,
    paired_t_test,
    t_interval,
    tost,
    tost_paired,
)

__all__ = [
    "Adjustment",
    "Alternative",
    "DegenerateWarning",
    "Method",
    "PairedTResult",
    "PowerTest",
    "ProbabilityOfImprovementResult",
    "SignFlipResult",
    "SignedRankResult",
    "TIntervalResult",
    "TostResult",
    "Zeros",
    "adjust",
    "benjamini_hochberg",
    "benjamini_yekutieli",
    "bonferroni",
    "cohens_dz",
    "hochberg",
    "holm",
    "holm_sidak",
    "intention_to_treat_differences",
    "minimum_detectable_effect",
    "paired_probability_of_improvement",
    "paired_t_test",
    "power_paired_t",
    "power_signed_rank",
    "rank_biserial",
    "round_significant",
    "seeds_needed",
    "sidak",
    "sign_flip_test",
    "signed_rank_test",
    "t_interval",
    "tost",
    "tost_paired",
]
