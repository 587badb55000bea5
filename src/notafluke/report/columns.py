"""The tables and figures of a study, and what every column of every table means.

The pages, the workflow, the documentation and the tests read it here.
"""

from __future__ import annotations

TABLES = ("significance", "claims", "overall", "seed_luck", "over_samples", "failures", "provenance")
FIGURES = ("forest", "slopes", "best_of_n", "improvement", "profiles", "learning_curves", "gradient_norms")

COLUMNS: dict[str, str] = {
    "claim": "name of the declared claim; empty for an exploratory comparison",
    "family": "claims (confirmatory), controls (known answers) or exploratory (not declared beforehand)",
    "role": "claim, negative_control, positive_control or exploratory",
    "sentence": "the claim in words, as declared",
    "task": "task",
    "metric": "metric on the test part, at the epoch of the best validation score",
    "unit": "unit of the metric",
    "direction": "whether higher or lower values of the metric are better",
    "treatment": "treatment arm",
    "control": "control arm, or baseline:<name> for a one-sample comparison with that baseline's value for each seed",
    "pairs_done": "seeds recorded in both arms, failed runs included",
    "pairs_finished": "seeds in which both runs finished; means of differences go over these",
    "pairs_planned": "seeds planned for both arms",
    "failed_treatment": "treatment runs of these pairs that diverged, crashed, ran out of time or gave no finite score",
    "failed_control": "the same for the control",
    "failures": "the failures in words",
    "control_mean": "mean of the control's finished runs, metric units",
    "control_sd": "their standard deviation (n - 1)",
    "treatment_mean": "mean of the treatment's finished runs, metric units",
    "treatment_sd": "their standard deviation (n - 1)",
    "delta": "mean of treatment - control over the finished pairs, metric units",
    "delta_low": "lower end of its 95 % t interval",
    "delta_high": "upper end of its 95 % t interval",
    "delta_low_90": "lower end of its 1 - 2 alpha interval (90 %), which lies within the SESOI where p_tost <= alpha",
    "delta_high_90": "upper end of that interval",
    "delta_percent": "delta in per cent of the control's mean",
    "d_z": "mean / standard deviation of the paired differences; positive = treatment better, whatever the direction",
    "rank_biserial": "matched rank-biserial correlation, failures included; positive = treatment better",
    "p_better": "share of seeds in which the treatment is better, ties one half, failures included",
    "p_better_low": "lower end of its 95 % Wilson interval",
    "p_better_high": "upper end of its 95 % Wilson interval",
    "test": "test used: the study's, or signed_rank (intention to treat) where a run failed; none where every seed is "
    "tested on the same samples, in which chance is: see over_samples.csv",
    "p_value": "two-sided p of this comparison alone; empty while runs are absent",
    "look": "which of the declared looks this is",
    "p_sequential": "smallest level at which one of the looks so far rejects; p_value where there is one look",
    "p_holm": "p_sequential adjusted for the family by the study's correction",
    "correction": "holm (default) or benjamini_hochberg",
    "alpha": "error rate that adjusted p-values are compared with",
    "m": "number of comparisons in the family, fixed by the plan",
    "p_tost": "p of two one-sided t-tests: is the difference smaller than the SESOI? empty with any failure",
    "p_tost_sequential": "the same over all looks so far",
    "p_tost_holm": "the latter, adjusted by Holm over the family",
    "sesoi": "smallest effect size of interest, metric units",
    "mde80": "effect that these seeds detect with a probability of 80 % at alpha / m (of this look), metric units",
    "seeds_needed": "seeds that would detect the SESOI with a probability of 80 % at alpha / m (of the last look)",
    "verdict": "verdict",
    "verdict_suffix": "negligible: significant but shown to be smaller than the SESOI; relevant: shown to be larger",
    "reason": "why, in a few words",
    "expects": "verdict that the claim expects",
    "result": "holds, does not hold, not decided or contradicted on this task; empty for exploratory rows and while "
    "runs are absent",
    "baseline_name": "trivial baseline that the control must beat on the task's primary metric",
    "baseline": "its mean on that metric",
    "arms_correlation": "Pearson correlation of the two arms over the finished pairs; empty where one arm is constant",
    "parameters_treatment": "number of trained parameters of the treatment",
    "parameters_control": "the same for the control",
    "epochs_treatment": "mean number of epochs trained of the treatment",
    "epochs_control": "the same for the control",
    "best_epoch_treatment": "median epoch of the best validation score of the treatment",
    "best_epoch_control": "the same for the control",
    "validation_treatment": "mean best validation score of the treatment, on the task's primary metric",
    "validation_control": "the same for the control",
    "learning_rate_treatment": "learning rate that the treatment trained at",
    "learning_rate_control": "the same for the control",
    "at_grid_edge_treatment": "1 where that is the lowest or highest of the learning rates that it could choose from",
    "at_grid_edge_control": "the same for the control",
    "treatment_cell": "folder with the treatment's runs",
    "control_cell": "folder with the control's runs",
    "tune": "what each arm chose on validation (lr: its learning rate); none: all arms train at the control's",
}

SUMMARY_COLUMNS: dict[str, str] = {
    "claim": "name of the declared claim",
    "family": "claims or controls",
    "role": "claim, negative_control or positive_control",
    "treatment": "treatment arm",
    "control": "control arm, or baseline:<name>",
    "expects": "verdict that the claim expects",
    "tasks": "number of tasks on which it is decided",
    "held": "number of them on which it holds",
    "result": "holds, holds on k of K, contradicted, does not hold, not decided (these seeds cannot tell on any task) "
    "or not decided yet (runs are absent)",
    "sentence": "the claim with result and figures, to print",
}

CLAIM_COLUMNS: dict[str, str] = SUMMARY_COLUMNS | {
    "advice": "where these seeds could not tell: how many further ones it would take",
    "command": "the command that adds seeds",
    "cautions": "what stands above the tables: changed, registered late, or looked at before; empty for none",
    "run_keys": "keys of all runs that it rests on, separated by blanks; empty for scores from elsewhere",
}

OVERALL_COLUMNS: dict[str, str] = {
    "treatment": "treatment arm",
    "control": "control arm",
    "tasks": "number of tasks in the row: those with both arms on which the control learned and its scores vary",
    "task_names": "which",
    "left_out": "tasks left out, and why",
    "pairs": "recorded pairs over these tasks",
    "wins": "tasks with a positive rank-biserial correlation: the treatment tends to be better",
    "ties": "tasks with one of zero",
    "losses": "tasks with a negative one",
    "iqm": "difference of the interquartile means of scores in control SD, positive = treatment better",
    "iqm_low": "lower end of its 95 % bootstrap interval: seeds resampled within tasks, both arms together",
    "iqm_high": "upper end",
    "p_improvement": "mean over tasks of the share of seeds in which the treatment is better, ties one half",
    "p_improvement_low": "lower end of its 95 % bootstrap interval",
    "p_improvement_high": "upper end",
    "resamples": "resamples of the bootstrap: 10,000, fewer for tables of more than 40,000 treatment runs",
    "rank_biserial": "mean over tasks of the matched rank-biserial correlation: the statistic of p_fixed_suite",
    "p_fixed_suite": "two-sided p on these very tasks: mean rank-biserial, signs flipped within tasks, exact up to "
    "20 pairs, else 99,999 draws (normal approximation where resamples are fewer)",
    "p_sequential": "the same over all looks so far",
    "p_holm": "p_sequential adjusted by Holm for the rows of this table",
    "m": "number of rows of this table",
    "p_new_tasks": "two-sided p for other tasks of the kind: exact signed-rank on task means; empty below six tasks; "
    "not adjusted for looks or rows",
    "mean_rank": "mean rank among all arms, 1 = best; descriptive, it depends on which other arms there are",
    "verdict": "better, worse, mixed, no evidence, cannot decide or incomplete",
    "reason": "why, in a few words",
}

LUCK_COLUMNS: dict[str, str] = {
    "task": "task",
    "metric": "metric on the test part",
    "unit": "unit of the metric",
    "direction": "whether higher or lower values of the metric are better",
    "arm": "arm",
    "n": "seeds with a finite score",
    "failed": "recorded seeds without one",
    "mean": "mean score; where the baseline differs by seed, all numbers are of score - own baseline + mean baseline",
    "sd": "standard deviation (n - 1)",
    "best": "best score",
    "expected_best": "expected best of n seeds from mean and SD alone, if scores are normal",
    "best_quantile_95": "value that the best of n exceeds with a probability of 5 %, if scores are normal",
    "baseline_name": "baseline",
    "baseline": "its value, mean over seeds where it differs by seed",
    "p_value": "two-sided p of the mean against the baseline (t-test, not adjusted); empty with any failure, and where "
    "every seed is tested on the same samples, in which chance is: see over_samples.csv",
    "p_single_beats_baseline": "probability that one seed beats the baseline, if scores are normal",
    "p_best_beats_baseline": "probability that the best of n seeds does",
    "verdict": "better (the mean beats the baseline, p <= alpha), best is luck (the best beats it, the mean does "
    "not, see p_value how surely), worse (p <= alpha), no evidence, cannot decide (failures, fewer than two "
    "scores, or no p)",
}

OVER_SAMPLES_COLUMNS: dict[str, str] = {
    "task": "task",
    "arm": "arm; all arms: the best run of them all",
    "question": "what is asked",
    "verdict": "better or worse (p_holm <= alpha), mixed (significant, but the run with the smallest p and the mean "
    "lie on different sides), no evidence, cannot decide, or incomplete (runs of the arm are absent or failed)",
    "over": "what p and interval generalise to: other test days of the market, or other draws of the lottery, for the "
    "networks as they were trained",
    "samples": "number of test days or draws",
    "runs": "runs with a series over them",
    "planned": "planned runs",
    "unit": "unit of the next four",
    "mean": "mean over the runs: yield of the strategy (geometric, 252 days a year) or hits a draw; of all arms that "
    "of the best run",
    "reference_name": "what it is compared with",
    "reference": "its value: yield of the market over the same days, or hits expected by chance",
    "difference": "mean - reference",
    "low": "lower end of its 95 % interval over days (percentiles of the bootstrap) or draws (t interval); of one arm",
    "high": "upper end",
    "method": "how p is computed",
    "p_value": "two-sided p of the difference; of all arms: that the best run is no better than the market",
    "p_holm": "p_value adjusted by Holm for the rows of this table; not adjusted for looks",
    "m": "number of rows of this table",
    "p_fit": "p of the chi-squared test that the hits of single draws are spread as by chance, smallest of the runs "
    "times their number; empty where predictions tie",
    "block_length": "length of the blocks in days (mean length for the reality check): cube root of the days, rounded",
    "resamples": "resamples of the bootstrap",
    "reason": "why, in a few words",
}

FAILURE_COLUMNS: dict[str, str] = {
    "task": "task",
    "arm": "arm",
    "planned": "planned runs",
    "ok": "finished with a finite score on the primary metric",
    "not_finite": "finished without one",
    "diverged": "loss or predictions not finite",
    "crashed": "a component raised",
    "timeout": "ran out of time",
    "absent": "not recorded",
    "p_fisher": "two-sided exact p of Fisher's test: failed and ok runs of the arm against those of the control",
}

TIMING_COLUMNS: dict[str, str] = {
    "task": "task",
    "arm": "arm",
    "seed": "seed",
    "run_key": "the run's key",
    "seconds": "the run's share of the wall time of the block that it trained in",
    "started": "when that block began to train, UTC",
    "ended": "when the run was recorded, UTC",
}

PROVENANCE_COLUMNS: dict[str, str] = {
    "what": "what",
    "value": "value; where runs differ, each with its number of runs",
}
