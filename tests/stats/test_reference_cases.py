"""Published numbers: papers, textbooks and other packages' test-suites."""

import math
from pathlib import Path

import numpy as np
import pytest

from notafluke import stats

REFERENCE = Path(__file__).parent / "reference"
CHECKS = {}


def checks(name):
    """Register the function as the one that checks every entry of a file."""

    def register(function):
        assert name not in CHECKS
        CHECKS[name] = function
        return function

    return register


# Named by the files, so that a file without checks fails, and so does a file with an entry that is never compared.
@pytest.mark.parametrize("name", sorted(path.stem for path in REFERENCE.glob("*.json")))
def test_every_entry_of_the_file(reference, name):
    case = reference(name)
    CHECKS[name](case)
    assert set(case.expected) - case.checked == set()


def test_no_reference_case_is_missing(reference):
    names = {path.stem for path in REFERENCE.glob("*.json")}
    assert names == set(CHECKS)
    assert len(names) == 16
    assert sum(len(reference(name).expected) for name in names) == 124


def difference(case, x, y):
    return np.subtract(case.input[x], case.input[y])


@checks("wilcoxon_exact")
def signed_rank_exact(case):
    maize = [stats.signed_rank_test(case.input["maize"], alternative=a) for a in ("two-sided", "greater")]
    case.check("maize_statistic", [r.statistic for r in maize])
    case.check("maize_p", [r.p_value for r in maize])
    case.check("maize_p_asymptotic", stats.signed_rank_test(case.input["maize"], method="normal").p_value)
    depression = stats.signed_rank_test(difference(case, "depression_x", "depression_y"), alternative="greater")
    case.check("depression_Wplus", depression.statistic)
    case.check("depression_p_greater", [depression.p_value])
    for name in ("r403", "arith"):
        data = difference(case, f"{name}_x", f"{name}_y")
        alternatives = ("two-sided", "greater", "less")
        case.check(f"{name}_p", [stats.signed_rank_test(data, alternative=a).p_value for a in alternatives])


@checks("wilcoxon_ties_zeros_normal")
def signed_rank_ties_and_zeros(case):
    for zeros in ("pratt", "zsplit", "wilcox"):
        result = stats.signed_rank_test(case.input["differences"], zeros=zeros, method="normal")
        case.check(f"T_{zeros}", result.statistic)
        case.check(f"p_{zeros}", result.p_value)
    data = difference(case, "x", "y")
    corrected = [stats.signed_rank_test(data, method="normal", correction=c) for c in (False, True)]
    case.check("R_T", corrected[0].statistic)
    case.check("R_p", [r.p_value for r in corrected])


@checks("signflip_fisher_maize")
def sign_flip_of_fishers_maize(case):
    data = np.array(case.input["differences_eighths_of_inch"])
    two_sided, greater = (stats.sign_flip_test(data, alternative=a) for a in ("two-sided", "greater"))
    assignments = 2**data.size
    case.check("counts", [assignments, greater.p_value * assignments, two_sided.p_value * assignments])
    case.check("p_two_sided", two_sided.p_value)
    case.check("p_greater", greater.p_value)
    t_test = stats.paired_t_test(data, 0)
    case.check("paired_t", [t_test.statistic, t_test.p_value])


@checks("multiplicity_bh1995_and_r_multtest")
def adjustments(case):
    thrombolysis = case.input["thrombolysis"]
    case.check("thrombolysis_bh", stats.benjamini_hochberg(thrombolysis))
    rejections = {
        "bonferroni": int(np.sum(stats.bonferroni(thrombolysis) <= 0.05)),
        "bh": int(np.sum(stats.benjamini_hochberg(thrombolysis) <= 0.05)),
    }
    case.check("thrombolysis_rejections_005", rejections)
    names = {
        "bonferroni": "bonferroni",
        "holm": "holm",
        "simes-hochberg": "hochberg",
        "sidak": "sidak",
        "holm-sidak": "holm_sidak",
        "fdr_bh": "benjamini_hochberg",
        "fdr_by": "benjamini_yekutieli",
    }
    for published, method in names.items():
        case.check(f"pval0_{published}", stats.adjust(case.input["pval0"], method))
        case.check(f"pval0_{published}", getattr(stats, method)(case.input["pval0"]))


@checks("tost_paired")
def equivalence(case):
    x, y = case.input["clinic_var2_group1"], case.input["clinic_var2_group2"]
    result = stats.tost_paired(x, y, -0.6, 0.6)
    case.check("clinic_var2_paired_mean_se", [result.mean, result.sd / math.sqrt(result.n)])
    case.check("clinic_var2_paired_ci90", [result.low, result.high])
    interval = stats.t_interval(np.subtract(x, y), confidence=0.9)
    case.check("clinic_var2_paired_ci90", [interval.low, interval.high])
    case.check("clinic_var2_paired_p", result.p_value)
    case.check("clinic_var2_paired_p", stats.tost(np.subtract(x, y), -0.6, 0.6).p_value)
    case.check("pingouin_paired_p", stats.tost_paired(case.input["a"], case.input["b"], -0.5, 0.5).p_value)
    welch = stats.tost_independent(case.input["clinic_var1_group1"], case.input["clinic_var1_group2"], -0.6, 0.6)
    case.check("clinic_var1_welch_p", welch.p_value)
    assert welch.df == pytest.approx(case.params("clinic_var1_welch_p")["df"], rel=1e-12)
    pooled = stats.tost_independent(case.input["a"], case.input["b"], -1, 1, equal_variances=True)
    case.check("pingouin_independent_p", pooled.p_value)


@checks("power_paired_t_and_noether")
def power(case):
    for name, entry in case.expected.items():
        if name.startswith("power_"):
            q = entry["params"]
            case.check(name, stats.power_paired_t(q["d"], q["n"], q["alpha"], q["alternative"]))
    case.check("mde_n20_power80", stats.minimum_detectable_effect(20, 0.05, 0.8))
    noether = case.params("noether_runs_gamma_075")
    case.check("noether_runs_gamma_075", stats.noether_runs(noether["gamma"], noether["alpha"], 1 - noether["beta"]))


@checks("effect_sizes_cliff_rbc_cohen")
def effects(case):
    data = difference(case, "wilcoxon_x", "wilcoxon_y")
    dropped = stats.signed_rank_test(data, zeros="wilcox")
    case.check("wilcoxon_T", dropped.statistic)
    case.check("wilcoxon_p_exact_with_ties", dropped.p_value)
    case.check("rank_biserial", stats.rank_biserial(data))
    case.check("cohen_dz_paired", stats.cohens_dz(difference(case, "p_x", "p_y")))
    treatment, control = case.input["cliff_treatment"], case.input["cliff_control"]
    case.check("cliff_delta", stats.cliffs_delta(treatment, control))
    case.check("vargha_delaney_A", stats.vargha_delaney_a(treatment, control))
    case.check("cles", stats.vargha_delaney_a(case.input["wilcoxon_x"], case.input["wilcoxon_y"]))
    case.check("cles_paired", stats.vargha_delaney_a(case.input["p_x"], case.input["p_y"]))
    case.check("cohen_d_independent", stats.cohens_d(case.input["d_x"], case.input["d_y"]))
    # With equal numbers the pooled SD is pingouin's average SD.
    case.check("hedges_g_paired_pingouin", stats.hedges_g(case.input["p_x"], case.input["p_y"]))


@checks("demsar2006_c45_auc")
def demsar(case):
    scores, names = np.array(case.input["scores"]), case.input["treatments"]
    n, k = scores.shape
    result = stats.signed_rank_test(scores[:, 1] - scores[:, 0], zeros="zsplit", scale=scores.max())
    case.check("wilcoxon_C4.5_vs_C4.5+m", [result.w_plus, result.w_minus])
    case.check("wilcoxon_T", result.statistic)
    friedman = stats.friedman_test(scores)
    case.check("mean_ranks", friedman.mean_ranks)
    case.check("friedman_chi2_no_tie_correction", friedman.uncorrected)
    case.check("friedman_chi2_tie_corrected", [friedman.statistic, friedman.p_value])
    case.check("iman_davenport_F", friedman.iman_davenport)
    case.check("iman_davenport_df", [friedman.df, friedman.df_error])
    case.check("F_critical_005", stats.iman_davenport_critical_value(k, n, 0.05))
    case.check("mean_rank_standard_error", stats.mean_rank_standard_error(k, n))
    alphas = case.params("nemenyi_q")["alpha"]
    case.check("nemenyi_q", [stats.nemenyi_quantile(k, alpha) for alpha in alphas])
    case.check("nemenyi_cd", [stats.nemenyi_critical_difference(k, n, alpha) for alpha in alphas])
    case.check("bonferroni_dunn_q", [stats.bonferroni_dunn_quantile(k, alpha) for alpha in alphas])
    case.check("bonferroni_dunn_cd", [stats.bonferroni_dunn_critical_difference(k, n, alpha) for alpha in alphas])
    compared = stats.rank_comparisons(scores, control=names.index(case.input["control"]))
    treatments = [names[treatment] for _, treatment in compared.pairs]
    order = [treatments.index(name) for name in case.params("control_z")["order"]]
    p_values = np.array(compared.p_values)[order]
    case.check("control_z", np.array(compared.statistics)[order])
    case.check("control_p", p_values)
    case.check("holm_rejects_005", (stats.holm(p_values) <= 0.05).tolist())
    case.check("hochberg_rejects_005", (stats.hochberg(p_values) <= 0.05).tolist())
    cliques = {}
    for alpha in alphas:
        distances = np.abs(np.subtract.outer(friedman.mean_ranks, friedman.mean_ranks))
        apart = distances > stats.nemenyi_critical_difference(k, n, alpha)
        found = stats.rank_cliques(friedman.mean_ranks, apart)
        cliques[f"{alpha:.2f}"] = [[names[index] for index in clique] for clique in found]
    case.check("nemenyi_cliques", cliques)


@checks("garcia_herrera2008_30x5")
def garcia_herrera(case):
    friedman = stats.friedman_test(case.input["scores"])
    case.check("mean_ranks", friedman.mean_ranks)
    case.check("friedman_chi2_p", [friedman.uncorrected, friedman.p_uncorrected])
    case.check("friedman_p", friedman.p_uncorrected)
    case.check("iman_davenport_F", friedman.iman_davenport)
    case.check("iman_davenport_df", [friedman.df, friedman.df_error])
    case.check("iman_davenport_p", friedman.p_iman_davenport)
    compared, names = stats.rank_comparisons(case.input["scores"]), case.input["treatments"]
    assert [[names[i], names[j]] for i, j in compared.pairs] == case.params("pairwise_rank_p")["pairs"]
    case.check("pairwise_rank_p", compared.p_values)
    aligned = [p for _, _, p in case.input["aligned_rank_pvalues"]]
    case.check("shaffer_static_adjusted", stats.shaffer(aligned))
    case.check("bergmann_hommel_adjusted", stats.bergmann_hommel(aligned))


@checks("critical_difference_tables")
def critical_differences(case):
    for alpha in (0.05, 0.1):
        case.check(f"nemenyi_q_{alpha}", [stats.nemenyi_quantile(k, alpha) for k in case.input["k"]])
        case.check(f"bonferroni_dunn_q_{alpha}", [stats.bonferroni_dunn_quantile(k, alpha) for k in case.input["k"]])
    orange = case.input["orange"]
    arguments = len(orange["mean_ranks"]), orange["n"], orange["alpha"]
    case.check("orange_nemenyi_cd", stats.nemenyi_critical_difference(*arguments))
    case.check("orange_bonferroni_dunn_cd", stats.bonferroni_dunn_critical_difference(*arguments))


@checks("posthoc_friedman_pmcmr")
def posthoc(case):
    small, large = case.input["block3x7"], case.input["block6x6"]
    case.check("nemenyi_3x7_vs_first", stats.rank_comparisons(small, "nemenyi", control=0).p_values)
    case.check("siegel_3x7_vs_first_unadjusted", stats.rank_comparisons(small, "siegel", control=0).p_values)
    case.check("conover_3x7_vs_first_unadjusted", stats.rank_comparisons(small, "conover", control=0).p_values)
    friedman = stats.friedman_test(large)
    case.check("friedman_6x6", [friedman.statistic, friedman.p_value])
    case.check("nemenyi_6x6_vs_A", stats.rank_comparisons(large, "nemenyi", control=0).p_values)


@checks("rliable_aggregates")
def aggregates(case):
    def three_means(scores):
        return [stats.mean_score(scores), stats.median_score(scores), stats.interquartile_mean(scores)]

    x, y, grid, tau = (np.array(case.input[name]) for name in ("x", "y", "grid", "tau"))
    reversed_grid = 1.3 * grid[:, ::-1]
    case.check("mean_median_iqm_x", three_means(x))
    case.check("mean_median_iqm_y", three_means(y))
    case.check("grid_mean_median_iqm", three_means(grid))
    case.check("iqm_of_1_2_3_4_5_100", stats.interquartile_mean([1, 2, 3, 4, 5, 100]))
    case.check("probability_of_improvement_x_over_y", stats.probability_of_improvement(x, y))
    probability = stats.probability_of_improvement(grid, reversed_grid)
    case.check("probability_of_improvement_grid_over_1.3x_reversed", probability)
    case.check("optimality_gap_of_1.3x_reversed_grid", stats.optimality_gap(reversed_grid, 1))
    case.check("score_distribution_profile_grid", stats.performance_profile(grid, tau))
    case.check("average_score_profile_grid", stats.performance_profile(grid, tau, of="task_means"))


@checks("bca_spatial_variance")
def bca(case):
    result = stats.bca_interval(
        case.input["A"], np.var, confidence=case.input["confidence"], resamples=100_000, rng=1993
    )
    case.check("theta_hat", result.estimate)
    case.check("acceleration", result.acceleration)
    case.check("z0", result.bias_correction)
    case.check("percentile_90", [result.percentile_low, result.percentile_high])
    case.check("bca_90", [result.low, result.high])
    # Far closer than the tolerance for the book's 2000 resamples: the file's own run of 400,000.
    for name, limits in (
        ("percentile_90", [result.percentile_low, result.percentile_high]),
        ("bca_90", [result.low, result.high]),
    ):
        assert limits == pytest.approx(case.expected[name]["recomputed"], abs=1.0)
    assert result.bias_correction == pytest.approx(case.expected["z0"]["recomputed"], abs=0.015)


@checks("best_of_n_normal_and_deflated_sharpe")
def best_of_n(case):
    case.check("expected_maximum", [stats.expected_maximum(n) for n in case.input["n"]])
    case.check("expected_maximum_exact_n2_n3", [stats.expected_maximum(n) for n in (2, 3)])
    q = case.input["dsr"]
    result = stats.deflated_sharpe_ratio(
        q["sr_annual"] / math.sqrt(q["days"]),
        q["T"],
        q["n_trials"],
        q["var_trial_sr_annual"] / q["days"],
        skewness=q["skew"],
        kurtosis=q["kurtosis"],
    )
    case.check("dsr_example", [result.threshold, result.probability])


def posterior(result):
    return [result.p_worse, result.p_equivalent, result.p_better]


def region_counts(result):
    return [result.worse, result.equivalent, result.better]


# The triples are [first better, rope, second better] with difference = second - first: the second is the treatment.
@checks("bayesian_nbc_aode")
def bayesian_tests(case):
    data = difference(case, "aode", "nbc")
    sign = stats.bayesian_sign_test(data, case.input["rope"])
    case.check("sign_counts", region_counts(sign))
    case.check("bayes_sign_rope_001", posterior(sign))
    case.check("bayes_signed_rank_rope_001", posterior(stats.bayesian_signed_rank_test(data, case.input["rope"])))
    correlated = stats.bayesian_correlated_t_test(
        difference(case, "anneal_nbc", "anneal_aode"), case.input["rope"], runs=case.input["runs"]
    )
    case.check("correlated_t_anneal", posterior(correlated))
    for rope in (0, 1, 2, 3, 4, 5, 100):
        boundary = stats.bayesian_sign_test(difference(case, "sign_y", "sign_x"), rope, draws=1)
        case.check(f"sign_counts_boundary_rope_{rope}", region_counts(boundary))
    for name in ("correlated_t_statistics_1run", "correlated_t_statistics_2runs"):
        q = case.params(name)
        result = stats.bayesian_correlated_t_test(np.subtract(q["y"], q["x"]), runs=q["runs"])
        case.check(name, [result.mean, result.variance, result.df])


@checks("bayesian_j48_sign_and_correlated_t")
def bayesian_tests_of_counts(case):
    places = {"rope": "equivalent", "right": "better"}
    for name, rope in (("", "0.01"), ("", "0.001"), ("", "0.0001"), ("_prior_right", "0.0001")):
        q = case.params(f"sign_rope_{rope}{name}")
        data = np.repeat([-1, 0, 1], case.input["counts_left_rope_right"][rope])
        result = stats.bayesian_sign_test(data, 0.5, prior=q["prior"], prior_place=places[q["prior_place"]])
        case.check(f"sign_rope_{rope}{name}", posterior(result))
    q = case.input["audiology"]
    # Any sample with this mean and variance: half of it below, half above.
    spread = math.sqrt(q["var_diff"] * (q["n"] - 1) / q["n"])
    data = q["mean_diff"] + np.repeat([-spread, spread], q["n"] // 2)
    case.check("correlated_t_audiology", posterior(stats.bayesian_correlated_t_test(data, q["rope"], runs=q["runs"])))


# The [m] values of the project's statistical design: smallest detectable d_z at 80 % power.
@pytest.mark.parametrize(
    ("test", "alpha", "tolerance", "expected"),
    [
        ("signed_rank", 0.05, 0.02, {6: 1.80, 8: 1.24, 10: 1.01, 15: 0.80, 20: 0.67, 30: 0.54}),
        ("signed_rank", 0.05 / 9, 0.03, {6: math.inf, 8: math.inf, 10: 1.66, 15: 1.11, 20: 0.94, 30: 0.72}),
        ("paired_t", 0.05, 0.006, {5: 1.68, 6: 1.43, 8: 1.16, 10: 1.00, 15: 0.78, 20: 0.66, 30: 0.53}),
        ("paired_t", 0.05 / 9, 0.006, {5: 3.07, 6: 2.40, 8: 1.77, 10: 1.46, 15: 1.08, 20: 0.90, 30: 0.71}),
    ],
)
def test_design_table_of_detectable_effects(test, alpha, tolerance, expected):
    for n, effect in expected.items():
        assert stats.minimum_detectable_effect(n, alpha, 0.8, test) == pytest.approx(effect, abs=tolerance), n


def test_design_table_of_seeds():
    assert [stats.seeds_needed(effect, 0.05, 0.8) for effect in (0.5, 0.8, 1, 1.5)] == [34, 15, 10, 6]


def test_design_table_of_seeds_before_holm_can_be_passed():
    needed = {1: 6, 2: 7, 3: 7, 5: 8, 9: 9, 20: 10}
    assert {m: stats.seeds_needed(math.inf, 0.05 / m, 0.8, "signed_rank") for m in needed} == needed
