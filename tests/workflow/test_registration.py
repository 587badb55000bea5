"""What was decided beforehand: the registered study, changes after it, looks at the verdicts, overridden studies."""

import yaml


def registered(project, study="tiny"):
    return (project.results / study / "registered.yaml").read_text(encoding="utf-8")


def test_the_study_is_registered_before_its_first_run(finished):
    content = yaml.safe_load(registered(finished))
    assert content["runs_recorded_before"] == 0
    assert content["study"]["alpha"] == 0.5
    assert content["study"]["seeds"] == [0, 1, 2]
    assert set(content["study"]["claims"]) == {"iris", "same-against-same"}
    assert [look["runs"] for look in finished.looks()] == [9]
    assert finished.looks()[0]["study"] == content["digest"]
    assert "Changed after" not in finished.markdown()


def test_a_study_changed_after_its_runs_is_titled_so(project):
    text, runs = registered(project), project.runs()
    project.edit("conf/study/tiny.yaml", "alpha: 0.5", "alpha: 0.4")
    project.snakemake()
    assert not project.trained_since(runs)
    assert registered(project) == text
    assert "Changed after 9 runs" in project.markdown()
    assert "alpha: 0.5 -> 0.4" in project.markdown()
    assert "Changed after 9 runs" in project.notafluke("show", "tiny").stdout
    first, second = project.looks()
    assert first["study"] != second["study"]


def test_overrides_drop_the_claims_whose_arms_are_gone(project):
    text = registered(project)
    project.notafluke("decide", "tiny", "--overrides", "activation=tanh")
    (folder,) = (path.name for path in project.results.glob("tiny+*"))
    assert list(project.significance(folder)["claim"]) == ["same-against-same"]
    (warning,) = [line for line in project.markdown(folder).splitlines() if line.startswith("claim iris ")]
    assert "activation=iris is not trained on adding" in warning
    assert list(project.significance()["claim"]) == ["iris", "same-against-same"]
    # its own registration comes too late for its runs
    assert registered(project) == text
    assert yaml.safe_load(registered(project, folder))["runs_recorded_before"] == 6
    assert "Registered late: 6 of its runs" in project.markdown(folder)


def test_declared_looks_are_counted_and_others_are_refused(pristine):
    pristine.edit("conf/study/tiny.yaml", "alpha: 0.5", "alpha: 0.5\nlooks: [3, 5]")
    pristine.train_in_one_job()
    pristine.snakemake("decide")
    runs = pristine.runs()
    assert list(pristine.significance()["look"]) == ["1 of 2", "1 of 2"]

    refused = pristine.snakemake(overrides="seed=range(0,4)", code=None)
    assert refused.code != 0
    assert "4 seeds are no declared look; valid: seed=range(0,3), seed=range(0,5)" in refused.output

    pristine.snakemake("decide", overrides="seed=range(0,5)")
    (folder,) = (path.name for path in pristine.results.glob("tiny+*"))
    assert len(pristine.trained_since(runs)) == 6, "seeds 3 and 4 of three arms"
    assert list(pristine.significance(folder)["look"]) == ["2 of 2", "2 of 2"]
    page = pristine.markdown(folder)
    assert "Exploratory: looked at before" not in page
    assert "Registered late" not in page
