"""Which code a configuration may name: a ``_target_`` that a study or an override sets is not just anything.

The option files in ``conf/<group>/`` are the user's own and may name whatever they like. A study file is what people
pass on, as are stored configurations: there a ``_target_`` may be something that an option file of the same group
names, something defined in the modules of this package that hold components and tasks, or in a module that
``conf/config.yaml`` lists under ``trust``.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from notafluke.errors import UsageError

COMPONENTS = ("notafluke.nn", "notafluke.tasks", "notafluke.training")
"""What is trusted without a word: not the commands of this package, which remove files and start processes."""
TRUST = "trust"
TARGET = "_target_"
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def require_trusted(config: Mapping[str, Any], conf: Path, composed: Mapping[str, Any] | None = None) -> None:
    """Raise UsageError for a ``_target_`` anywhere in a configuration that is not trusted, before it is imported.

    ``conf`` is the folder of the option files and of ``trust``; ``composed`` the same configuration without overrides
    of values, where there is one: what stands in it is from the option files.
    """
    known = dict(_targets(composed or {}))
    for key, target in _targets(config):
        if (key not in known or known[key] != target) and target not in _named_by_options(conf, key):
            _require_trusted_target(conf, key, target)


def trusted_modules(conf: Path) -> tuple[str, ...]:
    """COMPONENTS and the modules that ``conf/config.yaml`` lists under ``trust``. Raises UsageError for no list."""
    # Here: the configuration asks this module.
    from notafluke.configuration import CONFIG_NAME, read_yaml

    path = conf / f"{CONFIG_NAME}.yaml"
    found = read_yaml(path).get(TRUST, [])
    if not isinstance(found, list):
        raise UsageError(f"{_shown(path)}: {TRUST}: {found!r} is no list of modules such as [my_activations]")
    for name in found:
        if not isinstance(name, str) or not _MODULE.fullmatch(name):
            raise UsageError(f"{_shown(path)}: {TRUST}: {name!r} is no name of a module such as my_activations")
    return (*COMPONENTS, *found)


def refuse_to_set(keys: Mapping[str, Any]) -> None:
    """Raise UsageError where overrides (of a study or of a command line) would say themselves what is trusted."""
    for key in keys:
        if key.partition(".")[0] == TRUST:
            raise UsageError(f"{key}: only conf/config.yaml itself says which modules are trusted")


def _targets(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every ``_target_`` in a configuration by its dotted key, those in lists included."""
    if isinstance(value, Mapping):
        for name, own in value.items():
            inner = f"{key}.{name}" if key else str(name)
            if name == TARGET:
                yield inner, str(own)
            else:
                yield from _targets(own, inner)
    elif isinstance(value, list | tuple):
        for position, own in enumerate(value):
            yield from _targets(own, f"{key}.{position}")


def _named_by_options(conf: Path, key: str) -> set[str]:
    """What the option files of a group name under a key such as ``activation._target_``."""
    from notafluke.configuration import read_yaml

    group, _, inner = key.partition(".")
    named = set[str]()
    if not _MODULE.fullmatch(group):  # the name of a folder in conf/, and no path to another
        return named
    for path in sorted((conf / group).glob("*.yaml")):
        try:
            named |= {own for name, own in _targets(read_yaml(path)) if name == inner}
        except UsageError:  # one that cannot be read is told of by whoever uses it
            continue
    return named


def _require_trusted_target(conf: Path, key: str, target: str) -> None:
    trusted = trusted_modules(conf)
    module = target.rpartition(".")[0]
    if not module:  # nothing can be imported by such a name, and whoever builds it says so
        return
    if not _within(module, trusted):
        raise UsageError(f"{key}={target} {_advice(conf, key, 'is not trusted', module)}")
    if (defined := _defining_module(key, target)) is not None and not _within(defined, trusted):
        where = f"is not trusted: it is defined in {defined}, not in {module}" if defined else "does not say its module"
        raise UsageError(f"{key}={target} {_advice(conf, key, where, defined)}")


def _advice(conf: Path, key: str, reason: str, module: str) -> str:
    group = key.partition(".")[0]
    option = f"name it in an option file of your own, conf/{group}/NAME.yaml"
    if not _MODULE.fullmatch(module):
        return f"{reason}: {option}"
    return f"{reason}: {option}, or add {module} to the list {TRUST} in {_shown(conf / 'config.yaml')}"


def _defining_module(key: str, target: str) -> str | None:
    """The module in which the object of a trusted path says it is defined, "" where it does not say.

    None where nothing of the path can be imported, its module fails, or it is not there or no function: whoever builds
    it says why. Raises UsageError where a package or module is there, but holds no such module: ``os.system`` by way of
    a module that imports ``os``, say.
    """
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.append(folder)
    path, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(path), name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if "." in missing and (path == missing or path.startswith(f"{missing}.")):
            raise UsageError(f"{key}={target} is not trusted: found no module {missing}") from error
        return None
    except (Exception, SystemExit):
        return None
    if not callable(found):
        return None
    return str(getattr(found, "__module__", None) or "")


def _within(module: str, trusted: tuple[str, ...]) -> bool:
    return any(module == own or module.startswith(f"{own}.") for own in trusted)


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
