"""`notafluke analyse`: scores from elsewhere, and what it says about files that cannot be used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from notafluke.errors import UsageError
from notafluke.external import COLUMN_NAMES, External, read_scores, request_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "scores.csv"
ARGUMENTS = ("--control", "tanh", "--metric", "loss", "--lower-is-better")


def request(path: Path, control: str = "a", **options: Any) -> External:
    columns = {name: name for name in COLUMN_NAMES} | options.pop("columns", {})
    given_options = {"metric": "score", "lower_is_better": False, "alpha": 0.05, "sesoi": "", "baseline": ""}
    given_options |= {"only_common_seeds": False} | options
    return read_scores(request_of(path, control, columns=columns, **given_options))


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return tmp_path / "scores.csv"


def rows(*lines: str, heading: str = "task,treatment,seed,score,status") -> str:
    return "\n".join([heading, *lines, ""])


PAIRS = [f"t,{arm},{seed},{seed + (arm == 'b')}.5,ok" for arm in "ab" for seed in range(6)]


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "notafluke.cli", "analyse", *arguments]
    code = "import sys; from notafluke.cli import main; sys.argv = ['notafluke', *sys.argv[1:]]; main()"
    return subprocess.run(
        [command[0], "-c", code, *command[3:]],
        capture_output=True,
        encoding="utf-8",
        cwd=folder,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """What the command says of the committed example, and the folder of its files."""
    folder = tmp_path_factory.mktemp("example")
    return run(str(EXAMPLE), *ARGUMENTS, "--sesoi", "2%", "--out", "out", folder=folder), folder / "out"


def test_the_committed_example_through_the_front_door(
    example: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, out = example
    assert (done.returncode, done.stderr) == (0, "")
    assert "iris against tanh over 10 paired seeds on 2 tasks" in " ".join(done.stdout.split())
    for name in ("significance", "claims", "overall", "seed_luck", "failures", "provenance"):
        assert (out / "tables" / f"{name}.csv").is_file()
        assert (out / "tables" / f"{name}.tex").is_file()
    assert (out / "figures/forest.svg").is_file()

    decided = pd.read_csv(out / "tables/significance.csv").set_index(["task", "treatment"])
    wide = pd.read_csv(EXAMPLE).pivot_table(index=["task", "seed"], columns="treatment", values="loss")
    assert len(decided) == 6
    for task, treatment in decided.index:
        difference = wide.loc[task, treatment] - wide.loc[task, "tanh"]
        row = decided.loc[(task, treatment)]
        assert row["delta"] == pytest.approx(difference.mean())
        assert row["p_value"] == pytest.approx(reference.wilcoxon(difference, method="exact").pvalue)
        assert row["m"] == 6


def test_json_is_one_object_with_every_table_and_no_nan(tmp_path: Path) -> None:
    done = run(str(EXAMPLE), *ARGUMENTS, "--out", "out", "--baseline", "0.001", "--json", folder=tmp_path)
    content = json.loads(done.stdout, parse_constant=pytest.fail)
    assert set(content) == {"decisions", "claims", "overall", "seed_luck", "failures", "provenance", "notes"}
    assert len(content["decisions"]) == 6
    assert len(content["seed_luck"]) == 8


def test_same_file_same_bytes_whatever_the_order_of_its_rows(
    tmp_path: Path, example: tuple[subprocess.CompletedProcess[str], Path]
) -> None:
    shuffled = pd.read_csv(EXAMPLE).sample(frac=1, random_state=1)
    (tmp_path / "other").mkdir()
    shuffled.to_csv(tmp_path / "other" / "scores.csv", index=False)
    assert run("other/scores.csv", *ARGUMENTS, "--sesoi", "2%", "--out", "out", folder=tmp_path).returncode == 0
    _, out = example
    files = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert len(files) > 20
    for file in files:
        first, second = ((folder / file).read_text("latin-1") for folder in (out, tmp_path / "out"))
        if "provenance" in file.name or "significance" in file.name:
            continue  # they name the file's digest
        assert first == second, file
    assert (out / "tables/significance.csv").read_bytes() == (tmp_path / "out/tables/significance.csv").read_bytes()


def test_columns_of_other_trackers(csv: Path) -> None:
    """As MLflow exports them: no task, statuses in capitals, the metric under its own name."""
    lines = [f"{arm},{seed},{seed}.5,FINISHED" for arm in "ab" for seed in range(6)]
    write(csv, rows(*lines, heading="tags.treatment,params.seed,metrics.loss,status"))
    columns = {"treatment": "tags.treatment", "seed": "params.seed", "score": "metrics.loss"}
    external = request(csv, columns=columns)
    assert len(external.scores) == 12
    assert set(external.scores["task"]) == {"task"}
    assert set(external.scores["outcome"]) == {"ok"}


def test_the_metric_names_the_column_where_there_is_no_score(csv: Path) -> None:
    lines = [f"{arm},{seed},{seed},0" for arm in "ab" for seed in range(6)]
    external = request(write(csv, rows(*lines, heading="treatment,seed,loss,accuracy")), metric="loss")
    assert sorted(external.scores["value"]) == sorted([*range(6), *range(6)])


def test_statuses_and_missing_scores_are_failures_not_drops(csv: Path) -> None:
    lines = [line for line in PAIRS if not line.startswith("t,b,0,") and not line.startswith("t,b,1,")]
    external = request(write(csv, rows(*lines, "t,b,0,,failed", "t,b,1,nan,")))
    outcomes = external.scores.set_index(["arm", "seed"])["outcome"]
    assert outcomes["b", 0] == "crashed"
    assert external.scores["value"].isna().sum() == 2
    assert external.notes == ["1 run without a finite score count as failed: row 13."]


def test_runs_that_did_not_end_are_absent(csv: Path) -> None:
    external = request(write(csv, rows(*PAIRS[:-2], "t,b,4,3,KILLED", "t,b,5,,running")))
    assert len(external.planned) == 12
    assert len(external.scores) == 10
    assert external.notes == ["2 runs that did not end (killed, running) count as absent: rows 12, 13."]


def test_columns_are_found_whatever_their_case_and_state_is_a_status(csv: Path) -> None:
    lines = [
        f"{arm},{seed},{seed},{'crashed' if arm + str(seed) == 'b5' else 'finished'}"
        for arm in "ab"
        for seed in range(6)
    ]
    external = request(write(csv, rows(*lines, heading="Treatment,Seed,Score,State")))
    assert external.scores["outcome"].tolist().count("crashed") == 1


def test_a_loss_of_which_more_would_be_better_is_asked_about(csv: Path) -> None:
    lines = [f"{arm},{seed},{seed}" for arm in "ab" for seed in range(6)]
    write(csv, rows(*lines, heading="treatment,seed,val_loss"))
    assert request(csv, metric="val_loss").notes == [
        "Higher val_loss is taken as better; if lower is, add --lower-is-better."
    ]
    assert request(csv, metric="val_loss", lower_is_better=True).notes == []


def test_treatments_stand_in_the_order_of_their_numbers(csv: Path) -> None:
    lines = [f"t,t{arm},{seed},{seed},ok" for arm in (10, 2, 1, 0) for seed in range(3)]
    assert [own.treatment for own in request(write(csv, rows(*lines)), "t0").study.claims] == ["t1", "t2", "t10"]


def test_infinite_scores_are_failures(csv: Path) -> None:
    external = request(write(csv, rows(*PAIRS[:-1], "t,b,5,inf,")))
    assert external.scores["value"].isna().sum() == 1


def test_unpaired_seeds_make_the_row_incomplete_or_are_left_out_on_request(csv: Path) -> None:
    write(csv, rows(*PAIRS[:-1]))
    assert len(request(csv).planned) == 12
    common = request(csv, only_common_seeds=True)
    assert len(common.planned) == 10
    assert "1 of 6 seeds are left out" in common.notes[0]


FAULTS = {
    "empty": ("", "the file is empty"),
    "heading only": ("treatment,seed,score\n", "a heading and no row"),
    "no treatment": (rows("t,0,1", heading="task,seed,score"), "no column 'treatment'"),
    "misspelt column": (rows("a,0,1", heading="treatmnt,seed,score"), "did you mean 'treatmnt'?"),
    "no control": (rows("t,b,0,1,ok", "t,c,0,1,ok"), "no row with the treatment 'a', the control; valid: b, c"),
    "control alone": (rows("t,a,0,1,ok"), "there is no treatment to compare"),
    "duplicate": (rows(*PAIRS, "t,b,5,3,ok"), "task t, treatment b, seed 5 stands more than once: rows 13, 14"),
    "no number": (rows(*PAIRS[:-1], "t,b,5,good,ok"), "'good' is no number: row 13"),
    "seed": (rows(*PAIRS[:-1], "t,b,five,1,ok"), "a seed that is no whole number: row 13"),
    "half a seed": (rows(*PAIRS[:-1], "t,b,5.5,1,ok"), "a seed that is no whole number: row 13"),
    "status": (rows(*PAIRS[:-1], "t,b,5,1,finishd"), "did you mean 'finished'?"),
    "no arm": (rows(*PAIRS[:-1], "t,,5,1,ok"), "an empty treatment: row 13"),
    "reserved": (rows(*PAIRS, "t,control,0,1,ok"), "'control' is reserved"),
    "semicolons": (rows("a;0;1", heading="treatment;seed;score"), "separated by semicolons; they must be by commas"),
    "two columns of one name": (
        rows("a,0,1,2", heading="treatment,seed,score ,score"),
        "two columns are called 'score'",
    ),
    "more fields than headings": (
        rows("t,a,0,1,", "t,b,0,1,", heading="task,treatment,seed,score"),
        "more fields than",
    ),
    "metric misspelt": (rows("a,0,1", heading="treatment,seed,scor"), "no column 'score' with the score"),
    "huge": (rows(*PAIRS[:-1], "t,b,5,1e200,ok"), "a score beyond 1e+150: row 13"),
    "blank lines count": (rows(*PAIRS[:-1], "", "", "t,b,five,1,ok"), "a seed that is no whole number: row 15"),
    "ragged": (rows(*PAIRS, "t,b,7,1,ok,more,more"), "not a CSV file"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_used_is_one_line_that_names_the_rows(csv: Path, fault: str) -> None:
    text, message = FAULTS[fault]
    with pytest.raises(UsageError) as caught:
        request(write(csv, text))
    assert message in str(caught.value)
    assert str(csv) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "--alpha 0.0: it must lie between 0 and 1"),
        ({"alpha": float("nan")}, "--alpha nan"),
        ({"sesoi": "-1"}, "--sesoi: '-1' is neither a positive number nor a percentage"),
        ({"baseline": "ten"}, "--baseline ten: it must be a number"),
        ({"baseline": "inf"}, "--baseline inf: it must be a number"),
    ],
)
def test_options_that_are_none(csv: Path, options: dict[str, Any], message: str) -> None:
    write(csv, rows(*PAIRS))
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        request(csv, **options)


def test_a_file_that_is_no_utf8_names_the_line(csv: Path) -> None:
    csv.write_bytes(b"treatment,seed,score\na,0,1\nb\xff,0,2\n")
    with pytest.raises(UsageError, match="line 3 is not UTF-8"):
        request(csv)
    with pytest.raises(UsageError, match="there is no such file"):
        request(csv.with_name("none.csv"))


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    write(tmp_path / "scores.csv", rows(*PAIRS))
    done = run("scores.csv", "--control", "a", "--out", "scores.csv", folder=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: --out scores.csv: no folder can be made there")


def test_a_fault_writes_nothing_and_ends_with_2(tmp_path: Path) -> None:
    write(tmp_path / "scores.csv", rows("t,b,0,1,ok"))
    done = run("scores.csv", "--control", "a", "--out", "out", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: scores.csv: no row with the treatment 'a'")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]


CELLS = st.one_of(
    st.sampled_from(["a", "b", "t", "0", "1", "2.5", "nan", "inf", "", "ok", "failed", " ", '"', "-1e400", "1e-320"]),
    st.text(max_size=5),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(CELLS, min_size=3, max_size=6), max_size=8), st.booleans())
def test_any_file_gives_tables_or_a_usage_error(csv: Path, cells: list[list[str]], headed: bool) -> None:
    lines = [",".join(line) for line in cells]
    text = rows(*lines) if headed else "\n".join(lines)
    csv.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        external = request(csv)
    except UsageError as error:
        assert "\n" not in str(error)
        return
    assert np.isfinite(external.scores["value"].dropna()).all()
    assert set(external.scores["outcome"]) <= {"ok", "diverged", "crashed", "timeout"}
