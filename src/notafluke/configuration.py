"""What a run is: its configuration, composed by Hydra from ``conf/`` and checked before Hydra sees it.

Hydra's own errors are several lines long and name no valid choice, so overrides are parsed with Hydra's grammar and
checked here first.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Quote, QuotedString
from hydra.core.singleton import Singleton
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from notafluke.errors import GoneError, UsageError, did_you_mean
from notafluke.names import require_name, require_results
from notafluke.redaction import holds_secret
from notafluke.trust import refuse_to_set, require_trusted

CONFIG_NAME = "config"
NOT_PART_OF_A_RUN = ("execution", "seed", "hydra", "trust")
SETTINGS = ("trainer.time_limit", "trainer.keep")
"""Keys of a group that are no part of what a run is either: another limit makes no other run."""
KEPT = ("none", "best")
NONDETERMINISM = ("refuse", "allow")
DEVICE = re.compile(r"cpu|cuda(:\d+)?")
PLAIN_TEXT = re.compile(r"[\w./:%+@-]+", re.ASCII)
_SEVERAL = "(several: a study, or python -m notafluke.train -m)"
LONGEST_SHOWN = 200
"""Characters of a value that a message repeats."""
SEED_DIGITS = 18
PYTHON_BOOLEANS = {"True": "true", "False": "false"}
"""Hydra writes the elements of a sweep as Python does; a text of these letters would be in quotes."""
TUNES = ("none", "lr")
MOST_VALUES = 100_000
"""Of a sweep or of the seeds."""
MINIMUM = {
    "seed": 0,
    "replica": 0,
    "tuning_seeds": 1,
    "trainer.pretraining_epochs": 0,
    "trainer.max_epochs": 1,
    "trainer.batch_size": 1,
    "execution.block_size": 1,
}


@dataclass(frozen=True)
class RunConfig:
    """A composed configuration and the overrides that make it, in canonical form.

    ``choices`` are the chosen options by group; ``changes`` the overrides that differ from ``conf/config.yaml`` with
    this task, without seed and execution, sorted: composing them again, and the task, gives the same configuration.
    ``settings`` are those of them that are no part of what the run is (SETTINGS).
    """

    config: dict[str, Any]
    choices: dict[str, str]
    changes: dict[str, str]
    settings: dict[str, str]


def conf_folder() -> Path:
    """The absolute path of ``conf/`` below the working folder. Raises UsageError where there is none."""
    folder = Path.cwd() / "conf"
    if not (folder / f"{CONFIG_NAME}.yaml").is_file():
        raise UsageError(f"no conf/{CONFIG_NAME}.yaml in {Path.cwd()}; run this in the folder of the repository")
    return folder


def tracking_is_on(conf: Path) -> bool:
    """Whether ``conf/config.yaml`` lets training log to MLflow."""
    execution = read_yaml(conf / f"{CONFIG_NAME}.yaml").get("execution")
    return bool(execution.get("tracking", True)) if isinstance(execution, dict) else True


def groups(conf: Path) -> list[str]:
    """Names of the groups of the defaults list, in its order."""
    path = conf / f"{CONFIG_NAME}.yaml"
    return list(_groups(path, path.read_bytes()))


@lru_cache(maxsize=16)
def _groups(path: Path, content: bytes) -> tuple[str, ...]:
    """Every composition asks for them: they are read again when the file's content is another."""
    defaults = read_yaml(path).get("defaults", [])
    own = (key for entry in defaults if isinstance(entry, dict) for key in entry if not key.startswith("override "))
    return tuple(own)


def options(conf: Path, group: str) -> list[str]:
    """Names of the options of a group."""
    return sorted(path.stem for path in (conf / group).glob("*.yaml"))


class UniqueKeyLoader(yaml.SafeLoader):
    """YAML's safe loader, which refuses a key that stands in a mapping twice: the first value would get lost.

    As for Hydra, a date is the text that it is written as.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = {  # type: ignore[misc]
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """See SafeLoader."""
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key!r} stands there twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as a mapping. Raises UsageError, with the line, where it is not one."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=UniqueKeyLoader)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except yaml.MarkedYAMLError as error:
        mark = error.context_mark if error.context == "while scanning a simple key" else error.problem_mark
        line = f" line {mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{line}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        # Beside YAMLError: what PyYAML stumbles over, such as 0x_, thousands of digits, or !!int and !!bool of no such.
        raise UsageError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected a mapping of keys to values, found {type(content).__name__}")
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        # Bytes, sets, half a character, or an anchor within itself.
        raise UsageError(f"{path}: holds more than texts, numbers, lists and mappings: {error}") from error
    return content


def parse_override(text: str) -> Override:
    """One override in Hydra's grammar, not to be changed. Raises UsageError where it does not parse."""
    try:
        return _parsed(text)
    except (HydraException, ValueError) as error:  # a number of thousands of digits is a ValueError
        shown = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
        raise UsageError(f"cannot read override {shown!r}: write key=value, for example activation=iris") from error


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Override:
    """The cells of a study share most of their settings, and Hydra's parser takes its time."""
    return OverridesParser.create().parse_override(text)


def sweep_values(key: str, expression: Any) -> list[str]:
    """Values of a sweep in Hydra's grammar (``tanh,iris``, ``range(0,10)``, ``glob(*)``, one value), as override texts.

    Raises UsageError where it does not parse or expands to nothing.
    """
    text = str(expression)
    try:
        override = OverridesParser.create().parse_override(f"{key}={text}")
        value: Any = override.value()
        if isinstance(value, Glob):
            values = value.filter(options(conf_folder(), key))
        elif override.is_sweep_override():
            values = list(islice(override.sweep_string_iterator(), MOST_VALUES + 1))
        else:
            values = [_value_text(override)]
    except (HydraException, ValueError) as error:
        raise UsageError(f"cannot read sweep {key}: {text!r}; examples: tanh,iris or range(0,10)") from error
    if not values or values == [""]:
        raise UsageError(f"sweep {key}: {text!r} expands to nothing; examples: tanh,iris or range(0,10)")
    if len(values) > MOST_VALUES:
        raise UsageError(f"sweep {key}: {text!r} expands to more than {MOST_VALUES:,} values")
    return [PYTHON_BOOLEANS.get(value, value) for value in values]


def seed_values(expression: Any) -> tuple[int, ...]:
    """The seeds of ``3``, ``1,2`` or ``range(0,10)``. Raises UsageError for what is no seed or named twice."""
    texts = sweep_values("seed", expression)
    if bad := [text for text in texts if not text.isdecimal() or len(text) > SEED_DIGITS]:
        most = f", with at most {SEED_DIGITS} digits" if bad[0].isdecimal() else ""
        raise UsageError(f"seed={bad[0][:LONGEST_SHOWN]}: expected a whole number of at least 0{most}")
    seeds = tuple(int(text) for text in texts)
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"seed={expression}: names a seed twice")
    return seeds


def _value_text(override: Override) -> str:
    return str(override.get_value_element_as_str())


def compose_run(conf: Path, overrides: Mapping[str, str]) -> RunConfig:
    """Compose and check one run's configuration from overrides by key (without ``+`` or ``~``).

    Raises GoneError for an unknown key or option, and another UsageError for a value that does not fit, for a function
    that is not trusted, and for a secret, also one that an option file holds.
    """
    refuse_to_set(overrides)
    known_groups = groups(conf)
    chosen = {key: value for key, value in overrides.items() if key in known_groups}
    for group, option in chosen.items():
        if option not in (valid := options(conf, group)):
            if "," in option:
                raise UsageError(f"{group}={option} is a sweep, but one option is needed here {_SEVERAL}")
            raise GoneError(f"unknown option {group}={option}{did_you_mean(option, valid)}")
        require_name("an option", option, Path("conf") / group / f"{option}.yaml", valid)
    with hydra_at(conf):
        task = {group: option for group, option in chosen.items() if group == "task"}
        default_choices = _compose(conf, task).choices | {"task": _compose(conf, {}).choices["task"]}
        composed = _compose(conf, chosen)
    unchanged, choices = composed.resolved, composed.choices
    for group, option in choices.items():
        if not isinstance(unchanged[group], dict):
            kind = type(unchanged[group]).__name__
            raise UsageError(f"conf/{group}/{option}.yaml: expected a mapping of keys to values, found {kind}")
    config = composed.with_values(
        {key: _typed(key, value, unchanged, known_groups) for key, value in overrides.items() if key not in chosen}
    )
    require_trusted(config, conf, unchanged)
    values_before, values = flatten(unchanged), flatten(config)
    _refuse_secrets({key: value for key, value in values.items() if not _is_documentation(key)})
    require_results(str(values["execution.results"]))
    for key, minimum in MINIMUM.items():
        _check_minimum(key, values.get(key), minimum)
    if not DEVICE.fullmatch(str(values["execution.device"])):
        raise UsageError(f"execution.device={values['execution.device']}: expected cpu, cuda or cuda:0")
    if values["tune"] not in TUNES:
        raise UsageError(f"tune={values['tune']}{did_you_mean(values['tune'], TUNES)}")
    if values["tune"] == "lr" and not isinstance(values.get("optimizer.lr"), float):
        raise UsageError(f"tune=lr: optimizer={choices['optimizer']} has no learning rate optimizer.lr to choose")
    _check_settings(values)
    changes = {group: choice for group, choice in choices.items() if choice != default_choices[group]}
    changes |= {
        key: override_text(value)
        for key, value in values.items()
        if value != values_before.get(key) and key.partition(".")[0] not in NOT_PART_OF_A_RUN
    }
    settings = {key: changes.pop(key) for key in SETTINGS if key in changes}
    return RunConfig(config, choices, dict(sorted(changes.items())), settings)


@contextmanager
def hydra_at(conf: Path) -> Iterator[None]:
    """Hydra's compose API initialised at ``conf``; the state of a running Hydra program is put back afterwards."""
    state = Singleton.get_state() if GlobalHydra.instance().is_initialized() else None
    try:
        GlobalHydra.instance().clear()
        with initialize_config_dir(config_dir=str(conf), version_base="1.3"):
            yield
    finally:
        if state is not None:
            Singleton.set_state(state)


@dataclass(frozen=True)
class Composition:
    """What Hydra composes from options alone: the configuration, the same resolved (not to be changed), its choices."""

    config: DictConfig
    resolved: dict[str, Any]
    choices: dict[str, str]

    def with_values(self, overrides: Mapping[str, str]) -> dict[str, Any]:
        """Resolved with values by key, set as Hydra sets them, without reading every file again."""
        if not overrides:
            return copy.deepcopy(self.resolved)
        config = copy.deepcopy(self.config)
        texts = [f"{key}={value}" for key, value in overrides.items()]
        with _told(texts):
            for text in texts:
                override = _parsed(text)
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
            return _resolved(config)


def _compose(conf: Path, choices: Mapping[str, str]) -> Composition:
    """The composition of chosen options; call inside ``hydra_at(conf)``."""
    return _composed(conf, tuple(sorted(choices.items())))


@lru_cache(maxsize=1024)
def _composed(conf: Path, choices: tuple[tuple[str, str], ...]) -> Composition:
    arguments = [f"{group}={option}" for group, option in choices]
    try:
        with _told(arguments):
            config = compose(CONFIG_NAME, overrides=arguments, return_hydra_config=True)
            made = {str(key): str(value) for key, value in config.hydra.runtime.choices.items()}
            OmegaConf.set_struct(config, False)
            del config["hydra"]
            own = {group: option for group, option in made.items() if not group.startswith("hydra/")}
            return Composition(config, _resolved(config), own)
    except yaml.YAMLError as error:
        for path in sorted(conf.rglob("*.yaml")):
            read_yaml(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
        raise UsageError(f"cannot compose {' '.join(arguments)}: {' '.join(str(error).split())}") from error


def _resolved(config: DictConfig) -> dict[str, Any]:
    content = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


@contextmanager
def _told(arguments: Sequence[str]) -> Iterator[None]:
    """Turn what Hydra and OmegaConf raise into a UsageError that names the overrides."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"cannot compose {' '.join(arguments) or CONFIG_NAME}: {reason}") from error


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves by dotted key; lists are leaves."""
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            leaves |= flatten(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def _typed(key: str, text: str, config: Mapping[str, Any], known_groups: Sequence[str]) -> str:
    """The text of an override in the type of the value that it replaces. Raises UsageError where it does not fit."""
    leaves = flatten(config)
    settable = [leaf for leaf in leaves if not _is_internal(leaf)]
    if key not in settable:
        group = key.partition(".")[0]
        # The function itself can be named, but it is nothing that one means by another key.
        section = [leaf for leaf in settable if leaf.startswith(f"{group}.") and not leaf.endswith("._target_")]
        top = [*known_groups, *(leaf for leaf in settable if "." not in leaf)]
        if section and "." in key:
            raise GoneError(f"unknown key {key}{did_you_mean(key, section)}")
        if group in known_groups:
            raise GoneError(f"unknown key {key}: this {group} has no options")
        raise GoneError(f"unknown key {key}{did_you_mean(key.partition('.')[0], top)}")
    override = parse_override(f"{key}={text}")
    if override.is_sweep_override():
        raise UsageError(f"{key}={text} is a sweep, but one value is needed here {_SEVERAL}")
    value, default = override.value(), leaves[key]
    if default is None:
        return text
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(default, str) and value is not None and not isinstance(value, list | dict):
        value = value if isinstance(value, str) else text.strip()
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list"}
    if type(value) is not type(default) and not (isinstance(default, str) and isinstance(value, str)):
        raise UsageError(f"{key}={text}: expected {kinds[type(default)]}, like the default {override_text(default)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{key}={text}: expected a finite number")
    if isinstance(value, list) and not all(isinstance(item, int | float) for item in value) and default:
        raise UsageError(f"{key}={text}: expected a list of numbers, like the default {override_text(default)}")
    return override_text(value)


def _is_internal(leaf: str) -> bool:
    """Whether a key is for Hydra or for people; ``_target_`` may be set, to name a function of one's own."""
    name = leaf.rpartition(".")[2]
    return (name.startswith("_") and name != "_target_") or _is_documentation(leaf)


def _is_documentation(leaf: str) -> bool:
    section, _, name = leaf.rpartition(".")
    return name in documentation_keys(section)


def _refuse_secrets(values: Mapping[str, Any]) -> None:
    """Raise UsageError for a secret: a configuration is stored with every run, and shown by MLflow."""
    if holds_secret("\n".join(map(str, values.values()))):
        for key, value in values.items():
            if holds_secret(str(value)):
                raise UsageError(f"{key}: its value holds a password or another secret, and is stored with every run")


def _check_minimum(key: str, value: Any, minimum: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise UsageError(f"{key}={value}: expected a whole number of at least {minimum}")


def _check_settings(values: Mapping[str, Any]) -> None:
    """Check the values of SETTINGS, where a trainer has them, and of ``nondeterminism``. Raises UsageError."""
    limit = values.get("trainer.time_limit")
    if limit is not None and (
        isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit < math.inf
    ):
        raise UsageError(f"trainer.time_limit={limit}: expected a number of seconds above 0, or null for none")
    if (keep := values.get("trainer.keep", KEPT[0])) not in KEPT:
        raise UsageError(f"trainer.keep={keep}{did_you_mean(keep, KEPT)}")
    if values["nondeterminism"] not in NONDETERMINISM:
        valid = did_you_mean(values["nondeterminism"], NONDETERMINISM)
        raise UsageError(f"nondeterminism={values['nondeterminism']}{valid}")


def override_text(value: Any) -> str:
    """A configuration value in Hydra's override grammar, so that it parses back to the same value and type."""
    if value is None:
        return "null"
    if isinstance(value, str):
        plain = PLAIN_TEXT.fullmatch(value) and parse_override(f"key={value}").value() == value
        return value if plain else QuotedString(value, Quote.single).with_quotes()
    if isinstance(value, list):
        return "[" + ",".join(override_text(item) for item in value) + "]"
    return json.dumps(value)


def split_overrides(text: str, separators: str = " \t\r\n") -> list[str]:
    """Split ``a=b c=range(0, 8) d='e f'`` at separators outside quotes, brackets and parentheses."""
    parts: list[str] = []
    current, depth, quote, escaped = "", 0, "", False
    for character in text:
        if quote:
            quote = "" if character == quote and not escaped else quote
            escaped = character == "\\" and not escaped
        elif character in "'\"":
            quote = character
        else:
            depth += (character in "([{") - (character in ")]}")
        if character in separators and not quote and depth <= 0:
            parts.append(current)
            current = ""
        else:
            current += character
    return [part for part in [*parts, current] if part]


def overrides_by_key(texts: Sequence[str]) -> dict[str, str]:
    """Overrides as key to the text of the value; a later one of the same key wins. Raises UsageError."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"cannot read override {text!r}: write key=value, for example activation=iris")
        if key[0] in "+~":
            raise UsageError(f"cannot use override {text!r}: runs have fixed keys, so write {key.strip('+~')}=value")
        parse_override(text)
        found.pop(key, None)
        found[key] = value
    return found


def documentation_keys(group: str) -> tuple[str, ...]:
    """Keys of an option that only describe it; a task's ``source`` is an option of its own: where its data are."""
    return ("description", "reference") if group == "task" else ("description", "source")


def component_options(config: Mapping[str, Any], group: str) -> dict[str, Any]:
    """The section of a component without the keys that only describe it."""
    return {key: value for key, value in config[group].items() if key not in documentation_keys(group)}
