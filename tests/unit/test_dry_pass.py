"""The dry pass: faulty components are named with their option file and the reason, before anything is trained."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from notafluke import components
from notafluke.configuration import compose_run
from notafluke.errors import UsageError
from notafluke.train import train_cell

# One faulty thing each: module, group, name, its code, the words that the line must hold.
FAULTS: dict[str, tuple[str, str, list[str]]] = {
    "wrong_shape": ("activation", "def f(x): return x[..., :1]", ["returns the shape (2, 3, 1) where (2, 3, 4)"]),
    "no_tensor": ("activation", "def f(x): return None", ["returns NoneType where a tensor is needed"]),
    "zero_by_zero": ("activation", "def f(x): return x / (x - x)", ["value is", "at the start"]),
    "square_root": ("activation", "def f(x): return x.sqrt()", ["value is NaN at the start"]),
    "raises": ("activation", "def f(x): raise ZeroDivisionError('never')", ["ZeroDivisionError: never"]),
    "branches": ("activation", "def f(x): return x if x.mean() > 0 else -x", ["fails for a block of two seeds"]),
    "keyword": ("activation", "def f(x, *, slope): return slope * x", ["slope"]),
    "loss_one_number": (
        "loss",
        "def f(p, t): return (p - t).square().mean()",
        ["returns the shape () where (2, 1) is needed"],
    ),
    "loss_nan": ("loss", "def f(p, t): return (p - t).abs().log() * float('nan')", ["loss is NaN at the start"]),
    "loss_arguments": ("loss", "def f(p): return p", ["TypeError", "f()"]),
    "loss_random": (
        "loss",
        "def f(p, t): return (p - t) ** 2 * (1 + 1e-3 * np.random.rand())",
        ["other losses", "allow"],
    ),
    "rule_random": (
        "gradient",
        "def f(g): return {k: v * (1 + 1e-3 * np.random.rand()) for k, v in g.items()}",
        ["gives other layers.0", "nondeterminism=allow"],
    ),
    "put": (
        "activation",
        "def f(x): return torch.tanh(x.clone().put_(torch.tensor([0]), torch.tensor([0.5])))",
        ["put_ does not have a deterministic implementation: nondeterminism=allow"],
    ),
    "slope_nan": ("loss", "def f(p, t): return (p - p).abs().sqrt() + (p - t) ** 2", ["gradient of", "NaN"]),
    "rule_names": ("gradient", "def f(g): return {'other': v for v in g.values()}", ["returns other for layers.0"]),
    "rule_shape": (
        "gradient",
        "def f(g): return {k: v.sum() for k, v in g.items()}",
        ["returns the shape () where (64, 2)"],
    ),
    "rule_list": ("gradient", "def f(g): return list(g.values())", ["returns list where a mapping"]),
    "rule_branches": (
        "gradient",
        "def f(g): return {k: v if v.sum() > 0 else -v for k, v in g.items()}",
        ["fails for a block of two seeds"],
    ),
    "rule_nan": ("gradient", "def f(g): return {k: v / 0 for k, v in g.items()}", ["at the start"]),
    "optimizer": ("optimizer", "def f(parameters, steps): return parameters[0].foo", ["AttributeError", "foo"]),
    "model_shape": (
        "model",
        "class f(Base):\n    def forward(self, x): return self.w * x",
        ["(2, 50, 2) where (2, 1)"],
    ),
    "model_nan": ("model", "class f(Base):\n    def forward(self, x): return self.w * x[:, -1, :1] / 0", ["output is"]),
    "model_values": ("model", "def f(input_size, output_size): pass", ["activation"]),
    "model_random": (
        "model",
        "class f(Base):\n    def forward(self, x): return self.w * torch.rand_like(x[:, -1, :1])",
        ["other outputs for the same inputs", "random"],
    ),
    "model_buffer": (
        "model",
        "class f(Base):\n    def __init__(self, *a, **k):\n        super().__init__()\n"
        "        self.register_buffer('mix', torch.randn(2))\n"
        "    def forward(self, x): return self.w * (x[:, -1] @ self.mix)[:, None]",
        ["draws its buffer mix"],
    ),
    "model_batch": (
        "model",
        "class f(Base):\n    def forward(self, x): return self.w * (x - x.mean(0))[:, -1, :1]",
        ["mixes the samples of a batch"],
    ),
    "loss_batch": ("loss", "def f(p, t): return (p - t - (p - t).mean()) ** 2", ["mixes the samples of a batch"]),
    "activation_batch": ("activation", "def f(x): return x - x.mean(0)", ["mixes the samples of a batch"]),
    "no_scheduler": (
        "optimizer",
        "def f(parameters, steps): return torch.optim.SGD(parameters)",
        ["SGD", "LRScheduler"],
    ),
    "coupled": (
        "optimizer",
        "def f(parameters, steps):\n    own = torch.optim.Adafactor(parameters, lr=0.1)\n"
        "    return torch.optim.lr_scheduler.LambdaLR(own, lambda step: 1.0)",
        ["couples the seeds of a block"],
    ),
    "model_function": (
        "model",
        "def f(*sizes, activation): return len",
        ["gives builtin_function_or_method", "torch.nn.Module"],
    ),
    "model_constant": (
        "model",
        "class f(torch.nn.Module):\n    def __init__(self, *a, **k): super().__init__()\n"
        "    def forward(self, x): return x[:, -1, :1]",
        ["has no parameters to train"],
    ),
    "model_recurrent": (
        "model",
        "class f(Base):\n    def __init__(self, *a, **k):\n        super().__init__()\n"
        "        self.r = torch.nn.LSTM(2, 1, batch_first=True)\n"
        "    def forward(self, x): return self.r(x)[0][:, -1]",
        ["it holds LSTM (r); use the layers of notafluke.nn.cells"],
    ),
    "model_dropout": (
        "model",
        "class f(Base):\n    def __init__(self, *a, **k):\n        super().__init__()\n"
        "        self.d = torch.nn.Dropout()\n"
        "    def forward(self, x): return self.d(self.w * x[:, -1, :1])",
        ["it holds Dropout (d); use notafluke.nn.Dropout"],
    ),
}
PREAMBLE = """
import numpy as np
import torch


class Base(torch.nn.Module):
    def __init__(self, input_size=0, output_size=0, activation=None):
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(1))


"""


@pytest.fixture
def faulty(own_conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Write an option whose code is in a module of its own."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, group: str, code: str) -> None:
        (tmp_path / f"faulty_{name}.py").write_text(PREAMBLE + code + "\n", encoding="utf-8")
        text = f"description: d\nsource: s\n_target_: faulty_{name}.f\n_partial_: true\n"
        (own_conf / group / f"{name}.yaml").write_text(text, encoding="utf-8")

    return write


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(name: str, faulty: Callable[[str, str, str], None], own_conf: Path) -> None:
    group, code, words = FAULTS[name]
    faulty(name, group, code)
    with pytest.raises(UsageError) as caught:
        components.check(compose_run(own_conf, {"task": "adding", group: name}))
    line = str(caught.value)
    assert "\n" not in line
    blamed = "model=lstm" if name == "slope_nan" else f"{group}={name} (conf/{group}/{name}.yaml, faulty_{name}.f)"
    assert blamed in line, line
    assert all(word in line for word in words), line
    if group == "model":
        assert "with activation=tanh (conf/activation/tanh.yaml" in line


def test_what_gives_other_numbers_each_time_can_be_allowed_and_its_records_say_so(
    faulty: Callable[[str, str, str], None], own_conf: Path
) -> None:
    faulty("loss_random", "loss", FAULTS["loss_random"][1])
    cell = ["task=adding", "loss=loss_random", "task.train_size=64", "task.validation_size=32", "task.test_size=32"]
    cell += ["trainer.max_epochs=1", "execution.tracking=false"]
    with pytest.raises(UsageError, match="nondeterminism=allow trains it all the same"):
        train_cell(cell, "single runs")
    (random,) = train_cell([*cell, "nondeterminism=allow"], "single runs")
    (plain,) = train_cell([own for own in cell if not own.startswith("loss=")], "single runs")
    assert (random.outcome, random.deterministic, plain.deterministic) == ("ok", False, True)
    assert random.changes["nondeterminism"] == "allow"


def test_free_running_is_tried_too(faulty: Callable[[str, str, str], None], own_conf: Path) -> None:
    """A sequence model that can only be taught."""
    code = (
        "class f(Base):\n    def __init__(self, input_size, output_size, activation):\n"
        "        super().__init__()\n        self.size = output_size\n"
        "    def forward(self, x, previous, free_running=False):\n"
        "        if free_running: raise NotImplementedError('only teaching')\n        return self.w * previous\n"
    )
    faulty("taught", "model", code)
    with pytest.raises(UsageError, match=r"model=taught \(.*NotImplementedError: only teaching"):
        components.check(compose_run(own_conf, {"task": "reversal", "model": "taught"}))


STATEFUL = {
    "forgetful": "y = x.cumsum(1)[..., :1] * self.w; return y if state is None else (y, state)",
    "one_result": "return x[..., :1] * self.w",
    "branching": "return x[..., :1] * self.w if state is None else (x[..., :1] * self.w, (state[0] + 1,))"
    " if state[0].sum() < 1e9 else None",
}


@pytest.mark.parametrize("name", [*STATEFUL, "stateless"])
def test_a_state_that_is_not_carried_exactly(
    name: str, faulty: Callable[[str, str, str], None], own_conf: Path
) -> None:
    """A second piece that starts anew, no state returned, a branch on its value, and a model that knows none."""
    code = "class f(Base):\n    def forward(self, x): return x[..., :1] * self.w"
    if name in STATEFUL:
        code = (
            "class f(Base):\n    def initial_state(self, x): return (x.new_zeros(len(x), 1),)\n"
            f"    def forward(self, x, state=None):\n        {STATEFUL[name]}"
        )
    faulty(name, "model", code)
    task = {"task": "stock", "task.window": "3"}
    with pytest.raises(UsageError) as caught:
        components.check(compose_run(own_conf, {**task, "state": "carried", "model": name}))
    wrong = {
        "forgetful": "carries its state wrongly",
        "one_result": "cannot carry",
        "branching": "fails for a block of two seeds",
        "stateless": "no initial_state",
    }
    assert f"model={name}" in str(caught.value) and wrong[name] in str(caught.value)


def test_a_rule_of_the_state_that_lacks_something_is_named(
    faulty: Callable[[str, str, str], None], own_conf: Path
) -> None:
    faulty("lacking", "state", "class f:\n    def training_batches(self, *a): return iter(())")
    path = own_conf / "state" / "lacking.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("_partial_: true", "_partial_: false"), encoding="utf-8")
    with pytest.raises(UsageError, match=r"state=lacking .*: has no carried and no evaluation_batches; see"):
        components.check(compose_run(own_conf, {"task": "adding", "state": "lacking"}))


class TestImport:
    @pytest.fixture(autouse=True)
    def trusting(self, own_conf: Path) -> None:
        """What `activation._target_` names here may be named."""
        file = own_conf / "config.yaml"
        modules = "my_package, torch.nn.functional, nowhere, broken_idea, ending_idea"
        file.write_text(file.read_text(encoding="utf-8").replace("trust: []", f"trust: [{modules}]"), encoding="utf-8")

    def check(self, conf: Path, target: str) -> str:
        with pytest.raises(UsageError) as caught:
            components.check(compose_run(conf, {"task": "adding", "activation._target_": target}))
        assert "\n" not in str(caught.value)
        assert f"activation=tanh (conf/activation/tanh.yaml, {target})" in str(caught.value)
        return str(caught.value)

    def test_a_function_of_ones_own(self, own_conf: Path) -> None:
        """`activation._target_=my.module.f`, in the working folder and in its run's name and key."""
        package = own_conf.parent / "my_package"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "ideas.py").write_text("def half(x):\n    return x / 2\n", encoding="utf-8")
        run = compose_run(own_conf, {"task": "adding", "activation._target_": "my_package.ideas.half"})
        assert components.check(run) == []
        assert run.changes["activation._target_"] == "my_package.ideas.half"
        import torch

        network = components.build_recipe(run.config).build_model(2, 1)
        assert torch.equal(network.layers[0].activation(torch.ones(2)), torch.full((2,), 0.5))  # type: ignore
        sys.modules.pop("my_package.ideas")

    def test_of_an_installed_package(self, own_conf: Path) -> None:
        target = "torch.nn.functional.hardtanh"
        assert components.check(compose_run(own_conf, {"task": "adding", "activation._target_": target})) == []

    def test_no_such_module(self, own_conf: Path) -> None:
        line = self.check(own_conf, "nowhere.ideas.half")
        assert "found no module 'nowhere'" in line and str(own_conf.parent) in line and "installed packages" in line

    def test_a_module_that_fails_to_import(self, own_conf: Path) -> None:
        (own_conf.parent / "broken_idea.py").write_text("import no_such_library\n", encoding="utf-8")
        line = self.check(own_conf, "broken_idea.half")
        assert "importing broken_idea raised ModuleNotFoundError" in line and "no_such_library" in line

    def test_a_module_that_ends_the_process(self, own_conf: Path) -> None:
        (own_conf.parent / "ending_idea.py").write_text("raise SystemExit('no data')\n", encoding="utf-8")
        assert "importing ending_idea raised SystemExit: no data" in self.check(own_conf, "ending_idea.half")

    def test_no_such_function(self, own_conf: Path) -> None:
        line = self.check(own_conf, "notafluke.nn.activations.iriss")
        assert "activations.py has no 'iriss'; did you mean 'iris'? valid:" in line

    @pytest.mark.parametrize("target", ["half", "notafluke.nn.activations.GOLDEN_RATIO"])
    def test_no_path_and_no_function(self, own_conf: Path, target: str) -> None:
        assert "package.module.function" in (line := self.check(own_conf, target)) or "not a function" in line


TASK = """
import numpy as np

from notafluke.tasks.base import Metric, Split
from notafluke.tasks.generated import GeneratedTask


class Odd(GeneratedTask):
    primary_metric = "mse"
    metrics = (Metric("mse", "lower"),)
    input_size, output_size = 2, 3
    {attributes}

    def __init__(self):
        super().__init__(train_size=9, validation_size=4, test_size=4)

    def generate(self, rng, size):
        inputs = rng.standard_normal((size, 5, 2)).astype(np.float32)
        return Split(inputs, rng.standard_normal((size, {targets})).astype(np.float32))

    def scores(self, predictions, split):
        return {{"mse": 0.0}}

    def baselines(self, data):
        return ()
"""


@pytest.mark.parametrize(
    ("name", "attributes", "targets", "words"),
    [
        ("overlap", 'targets_at, advance = "every", 1', "5, 3", ["advance=1", "at every step it must be all 5 steps"]),
        ("gap", "advance = 6", "3", ["advance=6", "samples of 5 steps cannot follow each other so"]),
        ("writes", 'targets_at = "sequence"', "4, 3", ["written in classes", "kind = 'classes'"]),
    ],
)
def test_a_task_whose_samples_cannot_follow_each_other_so_is_refused(
    name: str,
    attributes: str,
    targets: str,
    words: list[str],
    own_conf: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else targets would be learned before they are predicted, or steps be skipped."""
    monkeypatch.syspath_prepend(str(tmp_path))
    code = TASK.format(attributes=attributes, targets=targets)
    (tmp_path / f"odd_{name}.py").write_text(code, encoding="utf-8")
    text = f"description: d\nreference: r\n_target_: odd_{name}.Odd\n"
    (own_conf / "task" / f"{name}.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        components.check(compose_run(own_conf, {"task": name}))
    assert f"task={name} (conf/task/{name}.yaml" in str(caught.value)
    assert all(word in str(caught.value) for word in words), caught.value


TASK_FAULTS: dict[str, tuple[str, str, list[str]]] = {
    "kind": ("kind = 'numbers'", "kind = 'number'", ["kind=number; did you mean 'numbers'"]),
    "targets_at": ("kind = 'numbers'", "targets_at = 'end'", ["targets_at=end", "last", "every"]),
    "primary": ('primary_metric = "mse"', 'primary_metric = "mae"', ["primary_metric=mae", "valid: mse"]),
    "direction": ('"lower"', '"down"', ["metric mse: direction=down", "valid: higher, lower"]),
    "twice": ('(Metric("mse", "lower"),)', '(Metric("mse", "lower"),) * 2', ["a name stands there twice: mse, mse"]),
    "undeclared": ('{"mse": 0.0}', '{"mse": 0.0, "mae": 0.0}', ["test_metrics returns mse, mae", "declares mse"]),
    "no_primary": ('{"mse": 0.0}', "{}", ["validation_metrics lacks the primary metric mse"]),
    "features": (
        "input_size, output_size = 2, 3",
        "input_size, output_size = 4, 3",
        ["train split: inputs have 2", "4"],
    ),
    "numbers": ("input_size, output_size = 2, 3", "input_size, output_size = 2, 1", ["targets have 3 numbers, not 1"]),
    "classes": ("kind = 'numbers'", "kind = 'classes'", ["targets have 2 axes in float32, not 1 in int64"]),
    "steps": ("kind = 'numbers'", "targets_at = 'every'", ["targets have 2 axes in float32, not 3"]),
    "nan": ("inputs = rng", "inputs = np.float32('nan') * rng", ["train split: inputs are not all finite"]),
    "empty": ("size):\n", "size):\n        size %= 4\n", ["validation split: has no sample"]),
    "baseline": (
        "return ()",
        "return (Baseline('zero', 'mae', 1.0, True),)",
        ["baseline zero: metric=mae", "valid: mse"],
    ),
    "scores": ("return {", "return 1 / 0 and {", ["ZeroDivisionError"]),
    "load": ("def generate", "def load(self, seed, replica): return 3\n\n    def generate", ["load returns int"]),
}


@pytest.mark.parametrize("name", TASK_FAULTS)
def test_a_task_that_does_not_keep_its_contract_is_told_what_it_lacks(
    name: str, own_conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a task that passes as it is, one thing is changed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    right = TASK.format(attributes="kind = 'numbers'", targets="3").replace("Metric, Split", "Baseline, Metric, Split")
    old, new, words = TASK_FAULTS[name]
    assert old in right
    for module, code in (("right", right), ("wrong", right.replace(old, new))):
        (tmp_path / f"{module}_{name}.py").write_text(code, encoding="utf-8")
        text = f"description: d\nreference: r\n_target_: {module}_{name}.Odd\n"
        (own_conf / "task" / f"{module}.yaml").write_text(text, encoding="utf-8")
    assert components.check(compose_run(own_conf, {"task": "right"})) == []
    with pytest.raises(UsageError) as caught:
        components.check(compose_run(own_conf, {"task": "wrong"}))
    line = str(caught.value)
    assert f"task=wrong (conf/task/wrong.yaml, wrong_{name}.Odd)" in line and "\n" not in line
    assert all(word in line for word in words), line


OUTPUT = """
import torch

from notafluke.nn.outputs import ClassOutput, LogProbabilities


class Own(ClassOutput):
    {attributes}

    def log_probabilities(self, logits):
        {body}
"""


@pytest.mark.parametrize(
    ("name", "attributes", "body", "words"),
    [
        ("tensor", "pass", "return logits.log_softmax(-1)", ["log_probabilities returns Tensor", "LogProbabilities("]),
        ("no_kind", "kind = property(lambda self: 1 / 0)", "return None", ["ZeroDivisionError"]),
    ],
)
def test_a_faulty_output_is_named(
    name: str,
    attributes: str,
    body: str,
    words: list[str],
    own_conf: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / f"out_{name}.py").write_text(OUTPUT.format(attributes=attributes, body=body), encoding="utf-8")
    (own_conf / "output" / f"{name}.yaml").write_text(
        "defaults:\n  - override /loss@_global_.loss: of_output\n"
        f"description: d\nsource: s\n_target_: out_{name}.Own\nloss: categorical_cross_entropy\n",
        encoding="utf-8",
    )
    with pytest.raises(UsageError) as caught:
        components.check(compose_run(own_conf, {"task": "copy_memory", "output": name}))
    assert f"output={name} (conf/output/{name}.yaml, out_{name}.Own)" in str(caught.value)
    assert all(word in str(caught.value) for word in words), caught.value


class TestFitting:
    """Components that are right alone and do not fit together."""

    @pytest.mark.parametrize(
        ("overrides", "words"),
        [
            ({"task": "adding", "output": "softmax_cce"}, ["output=softmax_cce", "predicts numbers", "output=linear"]),
            ({"task": "copy_memory", "output": "linear"}, ["output=linear", "predicts classes", "softmax_cce"]),
            ({"task": "adding", "loss": "of_output"}, ["output=linear", "no loss of its own"]),
            ({"task": "adding", "model": "seq2seq"}, ["model=seq2seq", "choose model=lstm"]),
            ({"task": "reversal", "model": "lstm"}, ["model=lstm", "choose model=seq2seq"]),
            ({"task": "adding", "attention": "additive"}, ["attention=additive", "choose model=seq2seq"]),
            ({"task": "copy_memory", "model": "mlp"}, ["model=mlp", "one output for all 40 time steps", "model=lstm"]),
            ({"task": "lotto", "model": "mlp", "state": "carried"}, ["model=mlp", "cannot carry its state"]),
            ({"task": "copy_memory", "output.loss": "cross_entropy"}, ["loss=cross_entropy", "did you mean"]),
            ({"task": "copy_memory", "task.symbols": "1"}, ["task.symbols=1"]),
            (
                {"task": "lotto", "task.train_size": "63", "state": "carried"},
                ["state=carried", "cuts 63 samples into trainer.batch_size=32 streams: nothing is carried"],
            ),
        ],
        ids=lambda value: ",".join(value.values()) if isinstance(value, dict) else "",
    )
    def test_is_refused(self, conf: Path, overrides: dict[str, str], words: list[str]) -> None:
        with pytest.raises(UsageError) as caught:
            components.check(compose_run(conf, overrides))
        assert all(word in str(caught.value) for word in words), caught.value

    def test_a_task_brings_what_it_needs(self, conf: Path) -> None:
        run = compose_run(conf, {"task": "reversal"})
        chosen = {group: run.choices[group] for group in ("model", "output", "loss")}
        assert chosen == {"model": "seq2seq", "output": "softmax_cce", "loss": "of_output"}
        assert run.changes == {"task": "reversal"}, "what the task brings is no change"
        assert components.check(run) == []

    def test_an_output_brings_its_loss(self, conf: Path) -> None:
        run = compose_run(conf, {"task": "copy_memory", "output": "topcat_margin_bce"})
        assert run.choices["loss"] == "of_output"
        assert run.config["output"]["loss"] == "binary_cross_entropy"
        assert run.changes == {"task": "copy_memory", "output": "topcat_margin_bce"}

    def test_an_explicit_mismatch_is_allowed_and_told(self, conf: Path) -> None:
        own = {"task": "copy_memory", "output": "topcat_margin_bce"}
        assert components.check(compose_run(conf, {**own, "output.loss": "categorical_cross_entropy"})) == []
        (caution,) = components.check(compose_run(conf, {**own, "loss": "mse"}))
        assert caution.startswith("task=copy_memory: loss=mse is trained on the probabilities of")
        assert "output=topcat_margin_bce, in place of the loss that belongs to it" in caution

    def test_two_classes_are_told(self, conf: Path) -> None:
        two = {"task": "reversal", "task.symbols": "2"}
        (caution,) = components.check(compose_run(conf, {**two, "output": "topcat_margin_bce"}))
        assert "two classes" in caution and "twice" in caution
        assert components.check(compose_run(conf, {**two, "output": "topcat_total_bce"})) == []
        assert components.check(compose_run(conf, {"task": "reversal", "output": "topcat_margin_bce"})) == []


def test_a_task_that_is_none(own_conf: Path) -> None:
    text = "description: d\nreference: r\n_target_: fractions.Fraction\n"
    (own_conf / "task" / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"fractions\.Fraction is not a notafluke\.tasks\.base\.Task"):
        components.check(compose_run(own_conf, {"task": "mine"}))


def test_options_that_a_component_does_not_take(own_conf: Path) -> None:
    path = own_conf / "model" / "rnn.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "width: 3\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"model=rnn \(conf/model/rnn\.yaml, notafluke\.nn\.recurrent\.RNN\).*width"):
        components.check(compose_run(own_conf, {"model": "rnn"}))


def test_options_that_a_component_lacks(own_conf: Path) -> None:
    path = own_conf / "model" / "rnn.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("depth: 1\n", ""), encoding="utf-8")
    with pytest.raises(UsageError, match="depth"):
        components.check(compose_run(own_conf, {"model": "rnn"}))


def test_a_function_of_pytorch_as_a_component_is_no_crash(own_conf: Path) -> None:
    """`_target_: torch.tanh` has no signature that Python knows."""
    text = "description: d\nsource: s\n_target_: torch.tanh\n_partial_: true\n"
    (own_conf / "activation" / "theirs.yaml").write_text(text, encoding="utf-8")
    assert components.check(compose_run(own_conf, {"activation": "theirs"})) == []
