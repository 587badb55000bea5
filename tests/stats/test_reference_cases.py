"""Published numbers: papers, textbooks and other packages' test-suites."""

import math

import numpy as np
import pytest

from notafluke import stats


def difference(case, x, y):
    return np.subtract(case.input[x], case.input[y])


def test_signed_rank_exact(reference):
    case = reference("wilcoxon_exact")
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


def test_signed_rank_ties_and_zeros(reference):
    case = reference("wilcoxon_ties_zeros_normal")
    for zeros in ("pratt", "zsplit", "wilcox"):
        result = stats.signed_rank_test(case.input["differences"], zeros=zeros, method="normal")
        case.check(f"T_{zeros}", result.statistic)
        case.check(f"p_{zeros}", result.p_value)
    data = difference(case, "x", "y")
    corrected = [stats.signed_rank_test(data, method="normal", correction=c) for c in (False, True)]
    case.check("R_T", corrected[0].statistic)
    case.check("R_p", [r.p_value for r in corrected])


def test_sign_flip_of_fishers_maize(reference):
    case = reference("signflip_fisher_maize")
    data = np.array(case.input["differences_eighths_of_inch"])
    two_sided, greater = (stats.sign_flip_test(data, alternative=a) for a in ("two-sided", "greater"))
    assignments = 2**data.size
    case.check("counts", [assignments, greater.p_value * assignments, two_sided.p_value * assignments])
    case.check("p_two_sided", two_sided.p_value)
    case.check("p_greater", greater.p_value)
    t_test = stats.paired_t_test(data, 0)
    case.check("paired_t", [t_test.statistic, t_test.p_value])


def test_adjustments(reference):
    case = reference("multiplicity_bh1995_and_r_multtest")
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


def test_equivalence(reference):
    case = reference("tost_paired")
    x, y = case.input["clinic_var2_group1"], case.input["clinic_var2_group2"]
    result = stats.tost_paired(x, y, -0.6, 0.6)
    case.check("clinic_var2_paired_mean_se", [result.mean, result.sd / math.sqrt(result.n)])
    case.check("clinic_var2_paired_ci90", [result.low, result.high])
    interval = stats.t_interval(np.subtract(x, y), confidence=0.9)
    case.check("clinic_var2_paired_ci90", [interval.low, interval.high])
    case.check("clinic_var2_paired_p", result.p_value)
    case.check("clinic_var2_paired_p", stats.tost(np.subtract(x, y), -0.6, 0.6).p_value)
    case.check("pingouin_paired_p", stats.tost_paired(case.input["a"], case.input["b"], -0.5, 0.5).p_value)


def test_power(reference):
    case = reference("power_paired_t_and_noether")
    for name, entry in case.expected.items():
        if name.startswith("power_"):
            q = entry["params"]
            case.check(name, stats.power_paired_t(q["d"], q["n"], q["alpha"], q["alternative"]))
    case.check("mde_n20_power80", stats.minimum_detectable_effect(20, 0.05, 0.8))


def test_effects(reference):
    case = reference("effect_sizes_cliff_rbc_cohen")
    data = difference(case, "wilcoxon_x", "wilcoxon_y")
    dropped = stats.signed_rank_test(data, zeros="wilcox")
    case.check("wilcoxon_T", dropped.statistic)
    case.check("wilcoxon_p_exact_with_ties", dropped.p_value)
    case.check("rank_biserial", stats.rank_biserial(data))
    case.check("cohen_dz_paired", stats.cohens_dz(difference(case, "p_x", "p_y")))


def test_demsar(reference):
    case = reference("demsar2006_c45_auc")
    scores = np.array(case.input["scores"])
    result = stats.signed_rank_test(scores[:, 1] - scores[:, 0], zeros="zsplit", scale=scores.max())
    case.check("wilcoxon_C4.5_vs_C4.5+m", [result.w_plus, result.w_minus])
    case.check("wilcoxon_T", result.statistic)
    p_values = case.expected["control_p"]["recomputed"]
    case.check("holm_rejects_005", (stats.holm(p_values) <= 0.05).tolist())
    case.check("hochberg_rejects_005", (stats.hochberg(p_values) <= 0.05).tolist())


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
