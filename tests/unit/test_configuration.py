"""Configurations: overrides in Hydra's grammar, errors that name the valid choices, and the canonical form."""

from __future__ import annotations

import math
import re
import string
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from notafluke.configuration import (
    component_options,
    compose_run,
    conf_folder,
    flatten,
    groups,
    options,
    override_text,
    overrides_by_key,
    parse_override,
    read_yaml,
    split_overrides,
    sweep_values,
)
from notafluke.errors import UsageError
from notafluke.plan import make_cell

CONF = Path(__file__).parents[2] / "conf"
ACTIVATIONS = ", ".join(sorted(path.stem for path in (CONF / "activation").glob("*.yaml")))


def message(function: Any, *arguments: Any) -> str:
    with pytest.raises(UsageError) as caught:
        function(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


class TestFolder:
    def test_below_the_working_folder(self, conf: Path) -> None:
        assert conf_folder() == conf

    def test_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert "conf/config.yaml" in message(conf_folder)

    def test_groups_are_those_of_the_defaults_list(self) -> None:
        parts = ["model", "activation", "attention", "state", "loss", "gradient", "optimizer", "trainer"]
        assert groups(CONF) == [*parts, "output", "task"]

    def test_options_are_the_files(self) -> None:
        assert {"golden_tanh", "iris", "relu", "tanh"} <= set(options(CONF, "activation"))
        assert options(CONF, "no_such_group") == []


class TestYaml:
    def test_mapping(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("a: 1\nb: {c: [x]}\n", encoding="utf-8")
        assert read_yaml(tmp_path / "a.yaml") == {"a": 1, "b": {"c": ["x"]}}

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a: 1\nb: {c: 1, d: 2, c: 3}\n", "line 2"),
            ("a: 1\n? [1]\n: 2\na: 2\n", "line 4"),
            ("a: 1\nb: [2\nc: 3\n", "line 3"),
            ("- a\n", "list"),
            ("", "NoneType"),
            ("a: \tb\n\tc: 1", "line"),
        ],
    )
    def test_says_which_line(self, tmp_path: Path, text: str, expected: str) -> None:
        path = tmp_path / "a.yaml"
        path.write_text(text, encoding="utf-8")
        found = message(read_yaml, path)
        assert expected in found and "a.yaml" in found

    def test_not_utf8(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_bytes(b"a: \xff\xfe")
        assert "UTF-8" in message(read_yaml, tmp_path / "a.yaml")

    @pytest.mark.parametrize("data", [b"a: \x01b", b"a: \x00"])
    def test_control_characters(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "a.yaml").write_bytes(data)
        assert "a.yaml" in message(read_yaml, tmp_path / "a.yaml")


class TestCompose:
    def test_agrees_with_hydra_itself(self) -> None:
        overrides = {"task": "adding", "activation": "iris", "optimizer.lr": "3e-3", "seed": "4"}
        with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
            theirs = compose("config", overrides=[f"{key}={value}" for key, value in overrides.items()])
        expected = OmegaConf.to_container(theirs, resolve=True)
        assert isinstance(expected, dict)
        expected.pop("hydra", None)
        run = compose_run(CONF, overrides)
        assert run.config == expected
        assert run.choices["activation"] == "iris" and run.choices["model"] == "lstm"
        assert run.changes == {"activation": "iris", "optimizer.lr": "0.003", "task": "adding"}

    def test_defaults_have_no_changes(self) -> None:
        assert compose_run(CONF, {}).changes == {}

    @pytest.mark.parametrize(
        "overrides",
        [
            {"task": "stock"},
            {"model": "lstm", "activation": "tanh"},
            {"optimizer.lr": "0.01"},
            {"optimizer.lr": "1e-2"},
            {"optimizer.betas": "[0.9,0.999]"},
            {"optimizer.betas": "[0.9, 0.9990]"},
            {"trainer.max_epochs": "10"},
            {"optimizer.schedule": "'constant'"},
            {"task.start": "null"},
            {"replica": "0"},
            {"model.forget_bias": "1"},
            {"model.forget_bias": "1.0"},
            {"seed": "7"},
            {"execution.block_size": "3", "execution.tracking": "false", "execution.results": "elsewhere"},
        ],
        ids=str,
    )
    def test_an_explicit_default_is_no_change(self, overrides: dict[str, str]) -> None:
        """The same run, to the types of its values: a key is a hash of them."""
        run, default = compose_run(CONF, overrides), compose_run(CONF, {})
        assert run.changes == {}
        for section in (*groups(CONF), "replica"):
            assert repr(run.config[section]) == repr(default.config[section])

    def test_the_order_of_overrides_does_not_matter(self) -> None:
        overrides = {"model": "rnn", "model.hidden_size": "8", "optimizer": "sgd", "optimizer.momentum": "0.9"}
        first = compose_run(CONF, overrides)
        assert compose_run(CONF, dict(reversed(overrides.items()))) == first
        assert list(first.changes) == sorted(first.changes)

    @pytest.mark.parametrize(
        ("overrides", "expected"),
        [
            (
                {"activation": "irsi"},
                f"unknown option activation=irsi; did you mean 'iris'? valid: {ACTIVATIONS}",
            ),
            ({"task": "stocks"}, "did you mean 'stock'?"),
            ({"activation": "zzz"}, f"unknown option activation=zzz; valid: {ACTIVATIONS}"),
            ({"activation": "../activation/iris"}, "unknown option"),
            ({"activation": ""}, "unknown option"),
            ({"optimzer.lr": "0.1"}, "did you mean 'optimizer'?"),
            ({"optimizer.learning_rate": "0.1"}, "unknown key optimizer.learning_rate"),
            ({"optimizer.lrr": "0.1"}, "did you mean 'optimizer.lr'?"),
            ({"optimizer": "sgd", "optimizer.betas": "[1]"}, "unknown key optimizer.betas"),
            ({"sed": "1"}, "did you mean 'seed'?"),
            ({"model._partial_": "false"}, "unknown key model._partial_"),
            ({"model.description": "x"}, "unknown key model.description"),
            ({"hydra.run.dir": "/tmp"}, "unknown key hydra.run.dir"),
            ({"optimizer.lr": "fast"}, "optimizer.lr=fast: expected a number"),
            ({"optimizer.lr": "true"}, "expected a number"),
            ({"optimizer.lr": "null"}, "expected a number"),
            ({"optimizer.lr": "nan"}, "expected a finite number"),
            ({"optimizer.lr": "inf"}, "expected a finite number"),
            ({"optimizer.lr": "[0.1]"}, "expected a number"),
            ({"optimizer.lr": "0.1,0.2"}, "is a sweep"),
            ({"trainer.max_epochs": "1.5"}, "expected a whole number"),
            ({"trainer.max_epochs": "true"}, "expected a whole number"),
            ({"trainer.max_epochs": "0"}, "at least 1"),
            ({"trainer.batch_size": "-3"}, "at least 1"),
            ({"execution.block_size": "0"}, "at least 1"),
            ({"seed": "-1"}, "at least 0"),
            ({"replica": "-1"}, "at least 0"),
            ({"execution.tracking": "perhaps"}, "expected true or false"),
            ({"optimizer.betas": "0.9"}, "expected a list"),
            ({"task.threshold": "[a]"}, "expected a text"),
            ({"task.window": "{a:1}"}, "expected a whole number"),
            ({"model": "rnn", "model.forget_bias": "0.5"}, "unknown key model.forget_bias"),
        ],
        ids=str,
    )
    def test_errors_are_one_line_with_the_valid_choices(self, overrides: dict[str, str], expected: str) -> None:
        assert expected in message(compose_run, CONF, overrides)

    def test_an_option_file_that_is_a_list(self, own_conf: Path) -> None:
        (own_conf / "activation" / "mine.yaml").write_text("- description\n", encoding="utf-8")
        found = message(compose_run, own_conf, {"activation": "mine"})
        assert "conf/activation/mine.yaml: expected a mapping of keys to values, found list" in found

    def test_a_key_that_stands_in_an_option_file_twice(self, own_conf: Path) -> None:
        path = own_conf / "optimizer" / "adam.yaml"
        path.write_text(path.read_text(encoding="utf-8") + "lr: 0.5\n", encoding="utf-8")
        found = message(compose_run, own_conf, {"optimizer": "adam"})
        assert "conf/optimizer/adam.yaml" in found and "'lr' stands there twice" in found and "line" in found

    def test_a_sweep_over_options_is_not_one_option(self) -> None:
        assert "activation" in message(compose_run, CONF, {"activation": "tanh,iris"})

    def test_a_task_source_is_an_option_and_a_components_source_is_not(self) -> None:
        run = compose_run(CONF, {"task.source": "prices.csv"})
        assert run.config["task"]["source"] == "prices.csv" and "source" in component_options(run.config, "task")
        assert "source" not in component_options(run.config, "model")
        assert "unknown key" in message(compose_run, CONF, {"model.source": "x"})

    def test_the_state_of_a_running_hydra_program_is_put_back(self) -> None:
        from hydra.core.global_hydra import GlobalHydra

        assert not GlobalHydra.instance().is_initialized()
        compose_run(CONF, {"seed": "11"})
        assert not GlobalHydra.instance().is_initialized()
        with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
            compose_run(CONF, {"seed": "12"})
            assert GlobalHydra.instance().is_initialized()
            assert compose("config", overrides=["seed=13"]).seed == 13


def values_like(default: Any) -> st.SearchStrategy[str]:
    """Override texts of the type of a default."""
    if isinstance(default, bool):
        return st.sampled_from(["true", "false"])
    if isinstance(default, int):
        return st.integers(1, 500).map(str)
    if isinstance(default, float):
        numbers = st.floats(1e-12, 1e6).map(repr) | st.integers(0, 9).map(str)
        return numbers | st.sampled_from(["1e-3", "3E-4", ".5", "2.", "1_0.0"])
    if isinstance(default, list):
        return st.lists(st.floats(0, 1), min_size=len(default), max_size=len(default)).map(lambda own: f"{own}")
    return st.sampled_from(["plain", "2001-01-01", "'with blank'", '"a,b"', "a/b.csv", "'it\\'s'", "0x1f", "'null'"])


@st.composite
def override_sets(draw: st.DrawFn) -> dict[str, str]:
    """Options of some groups, and values of some of their keys."""
    chosen = {
        group: draw(st.sampled_from(options(CONF, group)))
        for group in draw(st.lists(st.sampled_from(groups(CONF)), unique=True, max_size=4))
    }
    defaults = compose_run(CONF, {}).choices
    config = {group: read_yaml(CONF / group / f"{chosen.get(group, defaults[group])}.yaml") for group in groups(CONF)}
    leaves = {
        f"{group}.{key}": value
        for group, section in config.items()
        for key, value in flatten(section).items()
        if not key.startswith("_") and key not in ("description", "reference", "defaults")
        if key != "source" or group == "task"
    }
    keys = draw(st.lists(st.sampled_from(sorted(leaves)), unique=True, max_size=4))
    valid = {"trainer.keep": ["none", "best"], "trainer.time_limit": ["null", "5", "0.5"]}
    return chosen | {
        key: draw(st.sampled_from(valid[key]) if key in valid else values_like(leaves[key]), label=key) for key in keys
    }


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(override_sets())
def test_the_canonical_changes_make_the_same_configuration(overrides: dict[str, str]) -> None:
    run = compose_run(CONF, overrides)
    again = compose_run(CONF, {**run.changes, **run.settings})
    assert repr(again.config) == repr(run.config)
    assert again.choices == run.choices
    assert (again.changes, again.settings) == (run.changes, run.settings)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainer.time_limit=0", "trainer.time_limit=0: expected a number of seconds above 0, or null"),
        ("trainer.time_limit=soon", "trainer.time_limit=soon: expected a number of seconds"),
        ("trainer.time_limit=true", "trainer.time_limit=True: expected a number of seconds"),
        ("trainer.keep=bset", "trainer.keep=bset; did you mean 'best'? valid: best, none"),
        ("nondeterminism=alow", "nondeterminism=alow; did you mean 'allow'? valid: allow, refuse"),
    ],
)
def test_settings_that_are_none(override: str, words: str) -> None:
    key, _, value = override.partition("=")
    with pytest.raises(UsageError, match=re.escape(words)):
        compose_run(CONF, {key: value})


def test_a_limit_makes_no_other_run_but_goes_with_its_cell() -> None:
    plain, limited = (compose_run(CONF, {"task": "adding", **own}) for own in ({}, {"trainer.time_limit": "5"}))
    assert limited.config["trainer"]["time_limit"] == 5
    assert limited.settings == {"trainer.time_limit": "5"} and limited.changes == plain.changes
    assert make_cell(limited).key == make_cell(plain).key and make_cell(limited).folder == make_cell(plain).folder
    assert "trainer.time_limit=5" in make_cell(limited).overrides


TEXTS = st.text(alphabet=string.printable + "äφ→\\'\"${}[](),=: ", max_size=12)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)


@given(SCALARS | st.lists(SCALARS, max_size=4))
@example("")
@example(["", "a"])
@example([""])
@example("null")
@example("1e5")
@example("it's")
@example("a\\b")
@example("a\\\\b c")
@example("ends with \\")
@example("'")
@example("\\'")
@example("a,b")
@example("choice(a,b)")
@example("range(0,3)")
@example(["a,b", "[c]", "{d: 1}"])
@example("two\nlines")
@example(" blank at both ends ")
@example(1e-300)
@example(-0.0)
@example(10**20)
@settings(deadline=None, derandomize=True, max_examples=300)
def test_override_text_is_read_back_as_it_was(value: Any) -> None:
    override = OverridesParser.create().parse_override(f"key={override_text(value)}")
    assert not override.is_sweep_override()
    assert repr(override.value()) == repr(value)


class TestOverrides:
    def test_a_later_one_wins(self) -> None:
        assert overrides_by_key(["a=1", "b=2", "a=3"]) == {"b": "2", "a": "3"}

    def test_the_value_may_hold_an_equals_sign(self) -> None:
        assert overrides_by_key(["a='b=c'"]) == {"a": "'b=c'"}

    @pytest.mark.parametrize("text", ["iris", "=iris", " =iris", "", "activation:iris"])
    def test_without_key_or_value(self, text: str) -> None:
        assert "write key=value" in message(overrides_by_key, [text])

    @pytest.mark.parametrize(("text", "hint"), [("+a=1", "write a=value"), ("~a=1", "write a=value"), ("++a=1", "a=")])
    def test_keys_are_fixed(self, text: str, hint: str) -> None:
        assert hint in message(overrides_by_key, [text])

    @pytest.mark.parametrize("text", ["a=[1", "a='b", "a=b)", "a={x"])
    def test_text_that_does_not_parse(self, text: str) -> None:
        assert repr(text) in message(overrides_by_key, [text])
        assert repr(text) in message(parse_override, text)

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("", []),
            ("   ", []),
            ("a=1", ["a=1"]),
            ("  a=1\t b=2\n", ["a=1", "b=2"]),
            ("seed=range(0, 8) a=b", ["seed=range(0, 8)", "a=b"]),
            ("a=[1, 2, [3, 4]] b={c: 1, d: 2}", ["a=[1, 2, [3, 4]]", "b={c: 1, d: 2}"]),
            ("a='b c' d=\"e f\"", ["a='b c'", 'd="e f"']),
            ("a='(' b=2", ["a='('", "b=2"]),
            ("""a='say "x y"' b=2""", ["""a='say "x y"'""", "b=2"]),
            (r"a='it\'s b' c=1", [r"a='it\'s b'", "c=1"]),
        ],
    )
    def test_split(self, text: str, parts: list[str]) -> None:
        assert split_overrides(text) == parts

    @given(st.dictionaries(st.sampled_from(["a", "b.c", "d"]), SCALARS | st.lists(SCALARS, max_size=3)))
    @settings(deadline=None, derandomize=True)
    def test_joined_texts_are_split_again(self, values: dict[str, Any]) -> None:
        texts = [f"{key}={override_text(value)}" for key, value in values.items()]
        if all(not text or (text.strip() == text) for text in texts):
            assert split_overrides(" ".join(texts)) == texts


class TestSweeps:
    @pytest.mark.parametrize(
        ("expression", "values"),
        [
            ("tanh,iris", ["tanh", "iris"]),
            ("tanh, iris", ["tanh", "iris"]),
            ("tanh", ["tanh"]),
            ("choice(tanh,iris)", ["tanh", "iris"]),
            ("range(0,4)", ["0", "1", "2", "3"]),
            ("range(0,10,5)", ["0", "5"]),
            ("range(3)", ["0", "1", "2"]),
            ("1,2,5", ["1", "2", "5"]),
            (3, ["3"]),
            (0.01, ["0.01"]),
            ("[1,2],[3,4]", ["[1,2]", "[3,4]"]),
        ],
    )
    def test_values(self, expression: Any, values: list[str]) -> None:
        assert sweep_values("key", expression) == values

    @pytest.mark.parametrize("expression", ["", "range(0,0)", "range(5,2)", "a,", "range(0", "choice()", "range(0,x)"])
    def test_nothing_or_nonsense(self, expression: str) -> None:
        found = message(sweep_values, "seed", expression)
        assert "seed" in found and "tanh,iris" in found

    def test_ranges_agree_with_python(self) -> None:
        for start, stop, step in [(0, 10, 1), (2, 9, 3), (5, 0, -2)]:
            expected = [str(number) for number in range(start, stop, step)]
            assert sweep_values("seed", f"range({start},{stop},{step})") == expected


def test_flatten() -> None:
    tree = {"a": 1, "b": {"c": {"d": [1, 2]}, "e": None}}
    assert flatten(tree) == {"a": 1, "b.c.d": [1, 2], "b.e": None}


@pytest.mark.parametrize(("text", "value"), [("1e-3", 1e-3), ("3", 3), ("[1,a]", [1, "a"]), ("null", None)])
def test_values_have_the_types_of_hydras_grammar(text: str, value: Any) -> None:
    found = parse_override(f"key={text}").value()
    assert found == value and type(found) is type(value)


def test_values_of_float_keys_may_be_whole_numbers() -> None:
    lr = compose_run(CONF, {"optimizer.lr": "1"}).config["optimizer"]["lr"]
    assert math.isclose(lr, 1.0)
    assert repr(compose_run(CONF, {"optimizer.lr": "1.0"}).config) == repr(
        compose_run(CONF, {"optimizer.lr": "1"}).config
    )


@pytest.mark.parametrize("key", ["optimizer.lr", "seed", "model.hidden_size", "trainer.time_limit", "x"])
def test_a_number_of_thousands_of_digits_is_refused_in_one_short_line(key: str) -> None:
    """Python itself refuses to read it."""
    with pytest.raises(UsageError) as caught:
        overrides_by_key([f"{key}={'9' * 5000}"])
    assert len(str(caught.value)) < 400
    with pytest.raises(UsageError):
        compose_run(CONF, {key: "9" * 5000})
