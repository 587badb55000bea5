"""What the package's own code never does, over the syntax trees of all its files: nothing from outside becomes code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).parents[2] / "src").rglob("*.py"))
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
HARMLESS = {"PickleError", "UnpicklingError"}
"""What torch.load raises for a file that is none of its own."""
SAFE_LOADERS = {"SafeLoader", "CSafeLoader", "BaseLoader", "UniqueKeyLoader"}


def faults(tree: ast.AST) -> list[str]:
    """Calls and imports through which a file or text from outside could run code or be written anywhere."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [f"import {own.name}" for own in node.names if own.name.partition(".")[0] in PICKLES - {"pickle"}]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PICKLES:
            found.append(f"from {node.module}")
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle" and node.attr not in HARMLESS:
            found.append(f"pickle.{node.attr}")
        elif isinstance(node, ast.Call):
            found += call_faults(node)
    return found


def call_faults(node: ast.Call) -> list[str]:
    *owners, name = ast.unparse(node.func).split(".")
    owner = owners[-1] if owners else ""
    given = {own.arg: ast.unparse(own.value) for own in node.keywords}
    if not owners and name in ("eval", "exec", "compile", "__import__"):
        return [name]
    if given.get("shell", "False") != "False" or (owner == "os" and name in ("system", "popen")):
        return [f"{owner}.{name} in a shell"]
    if name in ("extract", "extractall", "unpack_archive"):
        return [f"{owner}.{name}"]
    if owner == "torch" and name == "load" and given.get("weights_only") != "True":
        return ["torch.load without weights_only=True"]
    if owner in ("np", "numpy") and name == "load" and given.get("allow_pickle") != "False":
        return ["np.load without allow_pickle=False"]
    if name == "read_pickle" or (owner == "torch" and name == "jit"):
        return [name]
    if owner in ("yaml", "YAML") and name in ("load", "load_all"):
        loader = given.get("Loader", ast.unparse(node.args[1]) if len(node.args) > 1 else "")
        if loader.rpartition(".")[2] not in SAFE_LOADERS:
            return ["yaml.load without a safe loader"]
    if owner in ("yaml", "YAML") and name in ("unsafe_load", "full_load", "unsafe_load_all", "full_load_all"):
        return [f"yaml.{name}"]
    return []


def test_nothing_from_outside_becomes_code() -> None:
    found = {path: faults(ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES}
    assert {str(path): own for path, own in found.items() if own} == {}


@pytest.mark.parametrize(
    "text",
    [
        "pickle.loads(f)",
        "pickle.Unpickler",
        "from pickle import loads",
        "import joblib.parallel",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "np.load(f)",
        "numpy.load(f, allow_pickle=True)",
        "yaml.load(f)",
        "yaml.load(f, yaml.Loader)",
        "yaml.unsafe_load(f)",
        "yaml.load(f, Loader=yaml.FullLoader)",
        "archive.extractall('x')",
        "ZipFile(f).extract('x')",
        "shutil.unpack_archive(f)",
        "subprocess.run('x', shell=True)",
        "os.system('x')",
        "eval('x')",
        "exec('x')",
        "pd.read_pickle(f)",
    ],
)
def test_this_test_finds_them(text: str) -> None:
    assert len(faults(ast.parse(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "model.eval()",
        "re.compile('x')",
        "torch.load(f, weights_only=True)",
        "np.load(f, allow_pickle=False)",
        "json.load(f)",
        "yaml.safe_load(f)",
        "yaml.load(f, Loader=UniqueKeyLoader)",
        "subprocess.run(['x'])",
        "series.str.extract_one('x')",
    ],
)
def test_and_nothing_else(text: str) -> None:
    assert faults(ast.parse(text)) == []


def test_the_loader_of_configurations_is_a_safe_one() -> None:
    import yaml

    from notafluke.configuration import UniqueKeyLoader

    assert issubclass(UniqueKeyLoader, yaml.SafeLoader) and len(SOURCES) > 100
