"""What is trained after a change, and what is not: seeds, code, comments, descriptions, analysis."""

from pathlib import Path

ACTIVATIONS = "src/notafluke/nn/activations.py"
TRAINING = "train_adding_"  # the rules that train
IRIS = "return SQRT_5 * iris_sigmoid(x)"
CHANGED = "return 1.1 * SQRT_5 * iris_sigmoid(x)"


def test_more_seeds_train_the_new_runs_only_and_studies_do_not_disturb_each_other(project):
    project.train_in_one_job()
    before = project.runs()
    project.snakemake(overrides="seed=range(0,5)")
    new = project.trained_since(before)
    assert len(new) == 2 * 3
    assert {project.record(path)["seed"] for path in new} == {3, 4}
    assert {Path(path).parent.parent for path in new} == {Path(path).parent.parent for path in before}

    folder = overridden_folder(project)
    assert folder.startswith("tiny+")
    assert list(project.significance(folder)["pairs_done"]) == [5, 5]
    assert list(project.significance()["pairs_done"]) == [3, 3]
    assert "Exploratory: " in project.markdown(folder)

    # neither form of the study disturbs the other
    assert project.snakemake().nothing_to_do
    assert project.snakemake(overrides="seed=range(0,5)").nothing_to_do


def test_fewer_seeds_train_nothing(finished):
    plan = finished.snakemake("-n", overrides="seed=range(0,2)").output
    assert "decide" in plan
    assert TRAINING not in plan


def test_comments_change_nothing_and_another_analysis_decides_again(project):
    project.edit(ACTIVATIONS, IRIS, f"# Iris, but better explained\n    {IRIS}  # indeed")
    project.edit(
        ACTIVATIONS, '"""Rectified linear unit: ', '"""Rectified linear unit, which cuts off what is below 0: '
    )
    project.edit(
        "src/notafluke/training/engine.py", '"""The seed-batched engine:', '"""Changed. The seed-batched engine:'
    )
    before, runs = project.tree(), project.runs()
    assert project.snakemake().nothing_to_do
    assert project.tree() == before

    project.edit("conf/activation/iris.yaml", "description: ", "description: Another description of ")
    project.snakemake()
    assert not project.trained_since(runs)
    assert "Another description of Iris" in project.markdown()

    project.edit("src/notafluke/sentences.py", 'SCOPE = "over retrainings', 'SCOPE = "over many retrainings')
    project.snakemake()
    assert not project.trained_since(runs)
    assert "over many retrainings" in project.markdown()


def test_editing_iris_trains_iris_again_and_undoing_it_nothing(project):
    before, mean = project.runs(), project.significance().loc["activation=iris", "treatment_mean"]
    project.edit(ACTIVATIONS, IRIS, CHANGED)
    project.snakemake("decide")
    new = project.trained_since(before)
    assert len(new) == 3
    assert {project.record(path)["changes"].get("activation") for path in new} == {"iris"}
    assert not new & before.keys()
    assert len({str(Path(path).parent.parent) for path in new}) == 1
    assert project.significance().loc["activation=iris", "treatment_mean"] != mean

    project.edit(ACTIVATIONS, CHANGED, IRIS)
    plan = project.snakemake("-n").output
    assert "decide" in plan
    assert TRAINING not in plan


def overridden_folder(project):
    """The name of the one folder of an overridden form of the study."""
    (folder,) = project.results.glob("tiny+*")
    return folder.name
