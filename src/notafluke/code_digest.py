"""Digest of the code that a run depends on: syntax trees of the definitions reached from given objects.

A definition is a top-level function, class or assignment of a first-party module. Starting from the objects that a
run names, every first-party name that a definition mentions is followed, across modules. Comments, docstrings and
layout do not count, so that editing one activation changes the digest of its own runs only, and a comment that of none.
Names are followed by their text: a local variable that shares the name of a top-level definition counts as a mention,
which can only make the digest cover more than it must.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from notafluke.versions import version

PACKAGE = "notafluke"
_INSTALLED = tuple(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib"))
_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Module:
    """What one source file defines: syntax trees by name, names bound by imports, and its other statements."""

    name: str
    path: Path
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    other_statements: list[ast.stmt] = field(default_factory=list)
    star_imports: list[str] = field(default_factory=list)


class UndefinedError(LookupError):
    """A module that is there does not define a name; a module that is not may be of a package that is not installed."""


def code_digest(objects: Sequence[str]) -> str:
    """sha256 over all definitions reached from dotted paths such as ``notafluke.nn.activations.iris``.

    Modules count as first-party when they share their top-level package with one of the objects, are notafluke's own,
    or lie in the working folder, and are not installed packages: an object of those counts by its name and the
    package's version. Raises LookupError for an object that no source file defines.
    """
    return _digest_of(tuple(objects), Path.cwd())


@cache
def _digest_of(objects: tuple[str, ...], working_folder: Path) -> str:
    """The digest is the same as long as the process, whose sources are read once, and its working folder are."""
    own = [path for path in objects if not _is_installed(path)]
    installed = sorted(f"{path} {_installed_version(path)}" for path in objects if _is_installed(path))
    reached = reached_definitions(own)
    lines = sorted(f"{module}.{name} {_definition_digest(module, name)}" for module, name in reached)
    return hashlib.sha256("\n".join([*lines, *installed]).encode()).hexdigest()


def reached_definitions(objects: Iterable[str]) -> dict[tuple[str, str], list[ast.stmt]]:
    """Syntax trees of all definitions reached from the objects, by (module, name)."""
    objects = list(objects)
    first_party = {PACKAGE, *(path.partition(".")[0] for path in objects)}
    working_folder = Path.cwd()
    reached: dict[tuple[str, str], list[ast.stmt]] = {}
    waiting = [_locate(path) for path in objects]
    for path, (module, name) in zip(objects, waiting, strict=True):
        if name != "*" and _definition(module, name) == ([], []):
            raise UndefinedError(f"no source file defines {path}")
    seen = set()
    while waiting:
        module_name, name = waiting.pop()
        if (module_name, name) in seen or not _is_first_party(module_name, first_party, working_folder):
            continue
        seen.add((module_name, name))
        nodes, mentions = _definition(module_name, name)
        waiting += mentions
        if nodes:
            reached[module_name, name] = nodes
    return reached


@cache
def _definition(module_name: str, name: str) -> tuple[list[ast.stmt], list[tuple[str, str]]]:
    """Syntax trees that define a name, and the (module, name) candidates that these mention."""
    module = read_module(module_name)
    if module is None:
        return [], []
    if name == "*":
        return module.other_statements, [(module_name, own) for own in module.definitions]
    if name in module.imports and name not in module.definitions:
        return [], [_locate(module.imports[name], missing_ok=True)]
    if name not in module.definitions:
        return [], [(star, name) for star in module.star_imports]
    nodes = module.definitions[name] + module.other_statements
    return nodes, [found for node in nodes for found in _mentions(node, module_name)]


@cache
def _definition_digest(module_name: str, name: str) -> str:
    """sha256 of the syntax trees that define a name."""
    nodes = _definition(module_name, name)[0]
    return hashlib.sha256(f"[{', '.join(map(_as_json, nodes))}]".encode()).hexdigest()


def _is_first_party(module_name: str, packages: set[str], working_folder: Path) -> bool:
    """Whether a module is of one of the packages, or of the working folder and not installed there."""
    package = module_name.partition(".")[0]
    return package in packages or _lies_in(working_folder, package)


@cache
def _lies_in(folder: Path, package: str) -> bool:
    """Whether a package lies in a folder and is not installed there."""
    source = find_source(package)
    return (
        source is not None and folder in source.parents and not any(folder in source.parents for folder in _INSTALLED)
    )


def _is_installed(path: str) -> bool:
    """Whether a dotted path is of an installed package or of Python itself, and not of a source checkout."""
    package = path.partition(".")[0]
    source = find_source(package)
    if source is None and importlib.util.find_spec(package) is None:
        raise LookupError(f"no source file defines {path}")
    return package != PACKAGE and (source is None or any(folder in source.parents for folder in _INSTALLED))


def _installed_version(path: str) -> str:
    distributions = _distributions().get(path.partition(".")[0], [])
    return ",".join(f"{name} {version(name).partition('+')[0]}" for name in sorted(set(distributions)))


@cache
def _distributions() -> Mapping[str, list[str]]:
    """The distributions of each top-level package; looking through all that is installed takes a second."""
    return packages_distributions()


def source_files(objects: Iterable[str]) -> set[Path]:
    """The source files of all definitions reached from the objects."""
    return set(_source_files(tuple(objects), Path.cwd()))


@cache
def _source_files(objects: tuple[str, ...], working_folder: Path) -> frozenset[Path]:
    own = [path for path in objects if not _is_installed(path)]
    modules = (read_module(module) for module, _ in reached_definitions(own))
    return frozenset(module.path for module in modules if module is not None)


@cache
def read_module(name: str) -> Module | None:
    """The parsed source of a module by its dotted name, without importing it; None where there is no source."""
    path = find_source(name)
    if path is None:
        return None
    module = Module(name, path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        _register(statement, module, package)
    return module


@cache
def find_source(name: str) -> Path | None:
    """The source file of a module by its dotted name, found without importing anything."""
    search: Any = None
    spec = None
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:length]), search)
        if spec is None:
            return None
        search = spec.submodule_search_locations
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def _register(statement: ast.stmt, module: Module, package: str) -> None:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        bound = _bound_by_import(statement, package)
        if "*" in bound:
            module.star_imports.append(bound.pop("*").removesuffix(".*"))
        module.imports.update(bound)
        return
    if isinstance(statement, _DEFINITIONS):
        names = {statement.name}
    else:
        stored = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
        names = {node.id for node in stored if isinstance(node.ctx, ast.Store)}
    if isinstance(statement, ast.If | ast.Try | ast.With):
        for node in ast.walk(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                module.imports.update(_bound_by_import(node, package))
            elif isinstance(node, _DEFINITIONS):
                names.add(node.name)
    for name in names:
        module.definitions.setdefault(name, []).append(statement)
    if not names and not _is_docstring(statement):
        module.other_statements.append(statement)


def _bound_by_import(statement: ast.Import | ast.ImportFrom, package: str) -> dict[str, str]:
    if isinstance(statement, ast.Import):
        return {
            alias.asname or alias.name.partition(".")[0]: alias.name if alias.asname else alias.name.partition(".")[0]
            for alias in statement.names
        }
    base = statement.module or ""
    if statement.level:
        parents = package.split(".")[: len(package.split(".")) - statement.level + 1]
        base = ".".join([*parents, base] if base else parents)
    return {alias.asname or alias.name: f"{base}.{alias.name}" for alias in statement.names}


@cache
def _locate(path: str, missing_ok: bool = False) -> tuple[str, str]:
    """Split a dotted path into the module and the top-level name in it; ``*`` is the whole module."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        if find_source(module) is not None:
            return module, parts[length] if length < len(parts) else "*"
    if missing_ok:
        return parts[0], "*"
    raise LookupError(f"no source file defines {path}")


@cache
def _mentions(node: ast.stmt, module_name: str) -> list[tuple[str, str]]:
    """First-party candidates (module, name) that a statement of a module mentions."""
    module = read_module(module_name)
    return list(_mentioned(node, module)) if module is not None else []


def _mentioned(node: ast.stmt, module: Module) -> Iterator[tuple[str, str]]:
    package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
    imports = dict(module.imports)
    children = list(ast.walk(node))
    for child in children:
        if isinstance(child, ast.Import | ast.ImportFrom):
            imports.update(_bound_by_import(child, package))
    inner_chains = set()
    for child in children:
        if isinstance(child, ast.Attribute):
            chain = _attribute_chain(child)
            inner_chains.add(id(child.value))
            if chain and id(child) not in inner_chains and chain[0] in imports:
                yield _locate(".".join([imports[chain[0]], *chain[1:]]), missing_ok=True)
            elif chain and chain[0] in module.definitions:
                yield module.name, chain[0]
            elif chain and id(child) not in inner_chains:
                yield from ((star, chain[0]) for star in module.star_imports)
        elif isinstance(child, ast.Name) and id(child) not in inner_chains:
            if child.id in imports:
                yield _locate(imports[child.id], missing_ok=True)
            elif child.id in module.definitions:
                yield module.name, child.id
            else:
                yield from ((star, child.id) for star in module.star_imports)


def _attribute_chain(node: ast.expr) -> list[str]:
    """``a.b.c`` as a list; empty where it does not start with a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else []


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


@cache
def _as_json(node: ast.stmt) -> str:
    return json.dumps(_plain(node))


def _plain(node: Any) -> Any:
    """A syntax tree as nested lists, without positions, docstrings and empty fields (which vary between Pythons)."""
    if isinstance(node, list):
        return [_plain(item) for item in node if not (isinstance(item, ast.stmt) and _is_docstring(item))]
    if isinstance(node, ast.Constant):
        return ["Constant", type(node.value).__name__, repr(node.value)]
    if isinstance(node, ast.AST):
        fields = [(name, _plain(value)) for name, value in ast.iter_fields(node) if value is not None and value != []]
        return [type(node).__name__, *fields]
    return node if isinstance(node, str | int) and not isinstance(node, bool) else repr(node)
