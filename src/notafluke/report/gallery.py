"""Every figure of a study with its heading and how to read it: those of the scores, and those of the training."""

from __future__ import annotations

from matplotlib.figure import Figure

from notafluke.analysis import Analysis
from notafluke.plan import Plan
from notafluke.report.best_of_n import best_of_n_curves
from notafluke.report.curves import collect_curves, learning_curves
from notafluke.report.figures import forest
from notafluke.report.gradients import collect_norms, gradient_norms
from notafluke.report.improvement import improvement_probabilities
from notafluke.report.profiles import performance_profiles
from notafluke.report.slopes import slopes
from notafluke.report.tables import PageFigure
from notafluke.seed_luck import to_draw

FIGURES = {
    "forest": PageFigure(
        "forest",
        "Every seed",
        "Forest plot: for each comparison the paired difference of every seed, their mean and its 95 % interval.",
    ),
    "slopes": PageFigure(
        "slopes",
        "Pairs: every seed with the control and with the treatment",
        "A line for each seed, from its score with the control to its score with the treatment; thick: their means.",
    ),
    "best_of_n": PageFigure(
        "best_of_n",
        "Seed luck: what the best of n seeds is worth",
        "The best of n seeds that mean and SD lead to expect, the running best of the actual seeds, and the baseline.",
    ),
    "improvement": PageFigure(
        "improvement",
        "Probability of improvement over all tasks",
        "Share of seeds in which the treatment is better than the control, mean over tasks, with its 95 % interval.",
    ),
    "profiles": PageFigure(
        "profiles",
        "Performance profiles over all tasks",
        "Share of runs with a score above each threshold, in SD of the control, with pointwise 95 % bands.",
    ),
    "learning_curves": PageFigure(
        "learning_curves",
        "Learning curves of every seed",
        "Validation score by epoch: thin lines are seeds, thick ones medians; dots are the seeds' best epochs.",
    ),
    "gradient_norms": PageFigure(
        "gradient_norms",
        "Gradient norms of each parameter: what vanishes on the way to the first layer",
        "Mean norm of each parameter's gradient over an epoch's steps, before the gradient rule. Thin lines are seeds, "
        "thick ones their geometric mean; dark is the beginning of the network. Each task's control, and the arms with "
        "another model.",
    ),
}

Drawn = list[tuple[PageFigure, Figure]]


def analysis_figures(analysis: Analysis, title: str) -> Drawn:
    """Draw the figures that need the scores alone."""
    tables = (analysis.decisions, analysis.scores, analysis.baselines, analysis.planned)
    drawn = {
        "forest": forest(*tables, title=title),
        "slopes": slopes(*tables, title=title),
        "best_of_n": best_of_n_curves(
            to_draw(analysis.luck, analysis.decisions, analysis.scores), analysis.scores, title
        ),
        "improvement": improvement_probabilities(analysis.overall, title),
        "profiles": performance_profiles(analysis.profiles, title),
    }
    return [(FIGURES[name], figure) for name, figure in drawn.items()]


def training_figures(plan: Plan) -> Drawn:
    """Draw the figures that need the histories of the runs."""
    drawn = {
        "learning_curves": learning_curves(collect_curves(plan), plan.study.title),
        "gradient_norms": gradient_norms(collect_norms(plan), plan.study.title),
    }
    return [(FIGURES[name], figure) for name, figure in drawn.items()]
