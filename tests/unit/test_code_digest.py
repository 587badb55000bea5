"""The code digest: edits in small packages, and what the digests of notafluke's own code reach."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notafluke.code_digest import code_digest, reached_definitions, source_files
from notafluke.plan import ENGINE

Digest = Callable[..., str]
FOLDERS = itertools.count()
A = "toy.parts.a"
B = "toy.parts.b"


def write(folder: Path, sources: Mapping[str, str]) -> None:
    """Write the modules of a package `toy`; `parts` gives toy/parts.py, `deep/inner` gives toy/deep/inner.py."""
    for name, text in {"__init__": "", **sources}.items():
        path = folder / "toy" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None]) -> Digest:
    """`digest({"parts": "..."}, "toy.parts.a")`: the digest in a fresh folder that holds this package only."""

    def digest_of(sources: Mapping[str, str], *objects: str) -> str:
        folder = tmp_path / str(next(FOLDERS))
        write(folder, sources)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            forget()
            return code_digest(objects)

    return digest_of


PLAIN = """
'''What this module is for.'''
import math

SLOPE = 1000

def helper(x):
    '''What this function is for.'''
    return x * SLOPE

class Base:
    '''What this class is for.'''
    def run(self, x):
        return helper(math.sqrt(x)) + (x + 1)

class a(Base):
    pass

def b(x):
    return x
"""

SAME = {
    "comment": PLAIN.replace("return x * SLOPE", "# why\n    return x * SLOPE  # so"),
    "docstring changed": PLAIN.replace("this function", "that function"),
    "docstring removed": PLAIN.replace("    '''What this function is for.'''\n", ""),
    "class docstring": PLAIN.replace("    '''What this class is for.'''\n", ""),
    "module docstring": PLAIN.replace("'''What this module is for.'''\n", ""),
    "docstring added": PLAIN.replace("def run(self, x):\n", "def run(self, x):\n        'Run.'\n"),
    "blank lines": PLAIN.replace("\n\n", "\n\n\n\n"),
    "indentation": PLAIN.replace("    return x * SLOPE", "        return x * SLOPE").replace(
        "    '''What this function", "        '''What this function"
    ),
    "parentheses": PLAIN.replace("return x * SLOPE", "return (\n        x\n        * SLOPE\n    )"),
    "redundant parentheses": PLAIN.replace("(x + 1)", "((x) + 1)"),
    "digits": PLAIN.replace("1000", "1_000"),
    "line endings": PLAIN.replace("\n", "\r\n"),
    "order of definitions": PLAIN.replace("SLOPE = 1000\n", "") + "\nSLOPE = 1000\n",
    "something unrelated": PLAIN + "\ndef c(x):\n    return helper(x)\n",
    "an import nobody uses": PLAIN.replace("import math", "import math\nimport json"),
}


@pytest.mark.parametrize("edited", SAME.values(), ids=SAME)
def test_what_does_not_change_what_is_computed(digest: Digest, edited: str) -> None:
    assert edited != PLAIN
    assert digest({"parts": edited}, A) == digest({"parts": PLAIN}, A)


# name: (sources, module to edit, text, its replacement); the edit must change the digest of a and not that of b.
EDITS: dict[str, tuple[dict[str, str], str, str, str]] = {
    "itself": ({"parts": "def a(x): return x + 1\ndef b(x): return x"}, "parts", "+ 1", "+ 2"),
    "helper": (
        {"parts": "def help(x): return x\ndef a(x): return help(x)\ndef b(x): return x"},
        "parts",
        "help(x): return x",
        "help(x): return -x",
    ),
    "helper's helper": (
        {"parts": "def one(x): return x\ndef two(x): return one(x)\ndef a(x): return two(x)\ndef b(x): return x"},
        "parts",
        "one(x): return x",
        "one(x): return -x",
    ),
    "constant": ({"parts": "C = 1\ndef a(x): return C * x\ndef b(x): return x"}, "parts", "C = 1", "C = 2"),
    "annotated constant": (
        {"parts": "C: int = 1\ndef a(x): return C * x\ndef b(x): return x"},
        "parts",
        "int = 1",
        "int = 2",
    ),
    "constant of a constant": (
        {"parts": "B = 1\nC = [B]\ndef a(x): return C[0] * x\ndef b(x): return x"},
        "parts",
        "B = 1",
        "B = 2",
    ),
    "one of several constants": (
        {"parts": "C, D = 1, 2\ndef a(x): return D * x\ndef b(x): return x"},
        "parts",
        "1, 2",
        "1, 3",
    ),
    "augmented constant": (
        {"parts": "C = 1\nC += 1\ndef a(x): return C * x\ndef b(x): return x"},
        "parts",
        "+= 1",
        "+= 2",
    ),
    "registry": (
        {"parts": "def _f(x): return x\nF = {'f': _f}\ndef a(x): return F['f'](x)\ndef b(x): return x"},
        "parts",
        "_f(x): return x",
        "_f(x): return -x",
    ),
    "default argument": (
        {"parts": "C = 1\ndef a(x, c=C): return c * x\ndef b(x): return x"},
        "parts",
        "C = 1",
        "C = 2",
    ),
    "decorator": (
        {"parts": "def deco(f): return f\n@deco\ndef a(x): return x\ndef b(x): return x"},
        "parts",
        "return f\n",
        "return print\n",
    ),
    "base class": (
        {"parts": "class Base:\n    k = 1\nclass a(Base): pass\nclass b: pass"},
        "parts",
        "k = 1",
        "k = 2",
    ),
    "base of the base class, elsewhere": (
        {
            "roots": "class Root:\n    k = 1",
            "base": "from toy import roots\nclass Base(roots.Root): pass",
            "parts": "from .base import Base\nclass a(Base): pass\nclass b: pass",
        },
        "roots",
        "k = 1",
        "k = 2",
    ),
    "metaclass": (
        {"parts": "class Meta(type):\n    k = 1\nclass a(metaclass=Meta): pass\nclass b: pass"},
        "parts",
        "k = 1",
        "k = 2",
    ),
    "from import": (
        {"other": "def f(x): return x", "parts": "from toy.other import f\ndef a(x): return f(x)\ndef b(x): return x"},
        "other",
        "return x",
        "return -x",
    ),
    "from import with alias": (
        {
            "other": "def f(x): return x",
            "parts": "from toy.other import f as g\ndef a(x): return g(x)\ndef b(x): return x",
        },
        "other",
        "return x",
        "return -x",
    ),
    "relative import": (
        {"other": "def f(x): return x", "parts": "from .other import f\ndef a(x): return f(x)\ndef b(x): return x"},
        "other",
        "return x",
        "return -x",
    ),
    "relative import of a module": (
        {
            "other": "def f(x): return x",
            "parts": "from . import other\ndef a(x): return other.f(x)\ndef b(x): return x",
        },
        "other",
        "return x",
        "return -x",
    ),
    "import from two levels up": (
        {
            "other": "def f(x): return x",
            "deep/__init__": "",
            "deep/inner": "from ..other import f\ndef g(x): return f(x)",
            "parts": "from .deep.inner import g\ndef a(x): return g(x)\ndef b(x): return x",
        },
        "other",
        "return x",
        "return -x",
    ),
    "module attribute": (
        {
            "other": "def f(x): return x",
            "parts": "import toy.other\ndef a(x): return toy.other.f(x)\ndef b(x): return x",
        },
        "other",
        "return x",
        "return -x",
    ),
    "module with alias": (
        {"other": "def f(x): return x", "parts": "import toy.other as o\ndef a(x): return o.f(x)\ndef b(x): return x"},
        "other",
        "return x",
        "return -x",
    ),
    "re-export": (
        {
            "deep/__init__": "from toy.deep.inner import f",
            "deep/inner": "def f(x): return x",
            "parts": "from toy.deep import f\ndef a(x): return f(x)\ndef b(x): return x",
        },
        "deep/inner",
        "return x",
        "return -x",
    ),
    "re-export under another name, through the package": (
        {
            "deep/__init__": "from .inner import f as best",
            "deep/inner": "def f(x): return x",
            "parts": "from toy import deep\ndef a(x): return deep.best(x)\ndef b(x): return x",
        },
        "deep/inner",
        "return x",
        "return -x",
    ),
    "constant of another module": (
        {"other": "C = 1", "parts": "from toy import other\ndef a(x): return other.C * x\ndef b(x): return x"},
        "other",
        "C = 1",
        "C = 2",
    ),
    "import within a function": (
        {
            "other": "def f(x): return x",
            "parts": "def a(x):\n    from toy.other import f\n    return f(x)\ndef b(x): return x",
        },
        "other",
        "return x",
        "return -x",
    ),
    "module imported within a function": (
        {
            "other": "def f(x): return x",
            "parts": "def a(x):\n    from toy import other\n    return other.f(x)\ndef b(x): return x",
        },
        "other",
        "return x",
        "return -x",
    ),
    "import within a method": (
        {
            "other": "def f(x): return x",
            "parts": "class a:\n    def m(self):\n        import toy.other as o\n        return o.f(1)\nclass b: pass",
        },
        "other",
        "return x",
        "return -x",
    ),
    "import that may fail": (
        {
            "other": "def f(x): return x",
            "parts": "try:\n    from toy.other import f\nexcept ImportError:\n    f = None\n"
            "def a(x): return f(x)\ndef b(x): return x",
        },
        "other",
        "return x",
        "return -x",
    ),
    "definition under a condition": (
        {
            "parts": "if True:\n    def f(x): return x\nelse:\n    def f(x): return 0\n"
            "def a(x): return f(x)\ndef b(x): return x"
        },
        "parts",
        "return 0",
        "return 1",
    ),
    "class method through the class": (
        {
            "other": "class K:\n    @staticmethod\n    def f(x): return x",
            "parts": "from toy.other import K\ndef a(x): return K.f(x)\ndef b(x): return x",
        },
        "other",
        "return x",
        "return -x",
    ),
    "nested function and lambda": (
        {
            "parts": "C = 1\ndef a(x):\n    def inner(y): return (lambda z: z * C)(y)\n    return inner(x)\n"
            "def b(x): return x"
        },
        "parts",
        "C = 1",
        "C = 2",
    ),
    "function passed on": (
        {"parts": "def f(x): return x\ndef a(xs): return list(map(f, xs))\ndef b(x): return x"},
        "parts",
        "return x\n",
        "return -x\n",
    ),
    "async": (
        {"parts": "async def f(x): return x\nasync def a(x): return await f(x)\ndef b(x): return x"},
        "parts",
        "f(x): return x",
        "f(x): return -x",
    ),
    "circular import": (
        {
            "other": "from toy import parts\ndef f(x): return parts.a(x - 1) if x else 0",
            "parts": "from toy import other\ndef a(x): return other.f(x)\ndef b(x): return x",
        },
        "other",
        "else 0",
        "else 1",
    ),
    "star import": (
        {"other": "def f(x): return x", "parts": "from toy.other import *\ndef a(x): return f(x)\ndef b(x): return x"},
        "other",
        "return x",
        "return -x",
    ),
    "type of a number": ({"parts": "def a(x): return 1\ndef b(x): return x"}, "parts", "return 1", "return 1.0"),
    "number to text": ({"parts": "def a(x): return 1.5\ndef b(x): return x"}, "parts", "return 1.5", "return '1.5'"),
    "truth to text": ({"parts": "def a(x): return True\ndef b(x): return x"}, "parts", "return True", "return 'True'"),
    "truth to number": ({"parts": "def a(x): return True\ndef b(x): return x"}, "parts", "return True", "return 1"),
    "none to text": ({"parts": "def a(x): return None\ndef b(x): return x"}, "parts", "return None", "return 'None'"),
    "bytes to text": (
        {"parts": "def a(x): return b'x'\ndef b(x): return x"},
        "parts",
        "return b'x'",
        "return \"b'x'\"",
    ),
    "sign of zero": ({"parts": "def a(x): return 0.0\ndef b(x): return x"}, "parts", "return 0.0", "return -0.0"),
    "operator": ({"parts": "def a(x): return x + 1\ndef b(x): return x"}, "parts", "x + 1", "x - 1"),
    "precedence": ({"parts": "def a(x): return x * x + 1\ndef b(x): return x"}, "parts", "x * x + 1", "x * (x + 1)"),
    "text in an f-string": ({"parts": "def a(x): return f'{x}!'\ndef b(x): return x"}, "parts", "!'", "?'"),
    "argument kinds": ({"parts": "def a(x, y): return x\ndef b(x): return x"}, "parts", "(x, y)", "(x, *, y)"),
}


@pytest.mark.parametrize(("sources", "module", "text", "replacement"), EDITS.values(), ids=EDITS)
def test_an_edit_changes_what_reaches_it_and_nothing_else(
    digest: Digest, sources: dict[str, str], module: str, text: str, replacement: str
) -> None:
    assert sources[module].count(text) == 1
    edited = {**sources, module: sources[module].replace(text, replacement)}
    assert digest(edited, A) != digest(sources, A)
    assert digest(edited, B) == digest(sources, B)
    assert digest(edited, A, B) != digest(sources, A, B)


def test_statements_that_run_with_the_module_count_for_all_of_it(digest: Digest) -> None:
    """`register(...)` at the top level may change what any function does."""
    before = "def f(x): return x\nR = {}\nR['a'] = f\nprint(f)\ndef a(x): return R['a'](x)\n"
    for edited in (before.replace("return x", "return -x"), before.replace("print(f)", "print(0)")):
        assert digest({"parts": edited}, A) != digest({"parts": before}, A)


def test_undoing_an_edit_gives_the_digest_back(digest: Digest) -> None:
    first = digest({"parts": PLAIN}, A)
    assert digest({"parts": PLAIN.replace("1000", "7")}, A) != first
    assert digest({"parts": PLAIN}, A) == first


def test_neither_the_order_nor_the_number_of_mentions_of_objects_matters(digest: Digest) -> None:
    sources = {"parts": PLAIN}
    assert digest(sources, A, B) == digest(sources, B, A) == digest(sources, A, B, A)
    assert digest(sources, A) != digest(sources, B)


def test_moving_or_renaming_a_definition_counts(digest: Digest) -> None:
    here = digest({"parts": "def f(x): return x\ndef a(x): return f(x)"}, A)
    there = digest({"other": "def f(x): return x", "parts": "from toy.other import f\ndef a(x): return f(x)"}, A)
    renamed = digest({"parts": "def g(x): return x\ndef a(x): return g(x)"}, A)
    assert len({here, there, renamed}) == 3


def test_modules_of_the_working_folder_count_and_those_installed_in_it_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None]
) -> None:
    """A helper module beside one's own module, and a virtual environment, which is in the working folder too."""
    installed = tmp_path / "venv" / "lib"
    files = {tmp_path / "helper.py": "def f(x): return x", installed / "library.py": "def g(x): return x"}
    write(tmp_path, {"parts": "from helper import f\nfrom library import g\ndef a(x): return f(g(x))"})
    monkeypatch.setattr("notafluke.code_digest._INSTALLED", [installed])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.syspath_prepend(str(tmp_path))

    def after_editing(edited: Path | None) -> str:
        installed.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            path.write_text(text.replace("return x", "return -x") if path == edited else text, encoding="utf-8")
        forget()
        return code_digest([A])

    before = after_editing(None)
    assert after_editing(tmp_path / "helper.py") != before
    assert after_editing(installed / "library.py") == before


@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_random_call_graphs_by_brute_force(
    tmp_path_factory: pytest.TempPathFactory, forget: Callable[[], None], data: st.DataObject
) -> None:
    """Functions over three modules call one another at random, in circles too; one is edited."""
    count = data.draw(st.integers(2, 8))
    functions = range(count)
    calls = {
        number: data.draw(st.lists(st.sampled_from(functions), max_size=3, unique=True), label=f"calls of f{number}")
        for number in functions
    }
    module = {number: data.draw(st.sampled_from(["one", "two", "three"])) for number in functions}
    style = {number: data.draw(st.sampled_from(["local", "attribute"])) for number in functions}
    edited = data.draw(st.sampled_from(functions))

    def sources(edit: int | None) -> dict[str, str]:
        texts = {name: "import toy.one, toy.two, toy.three\n" for name in ("one", "two", "three")}
        for number in functions:
            body = ""
            for other in calls[number]:
                if style[number] == "local" and module[other] != module[number]:
                    body += f"    from toy.{module[other]} import f{other}\n    f{other}(x)\n"
                elif module[other] == module[number]:
                    body += f"    f{other}(x)\n"
                else:
                    body += f"    toy.{module[other]}.f{other}(x)\n"
            texts[module[number]] += f"def f{number}(x):\n{body}    return {number + 100 * (number == edit)}\n"
        return texts

    def reaches(start: int) -> set[int]:
        found, before = {start}, set[int]()
        while found != before:
            before = set(found)
            found |= {other for number in before for other in calls[number]}
        return found

    digests = []
    for edit in (None, edited):
        folder = tmp_path_factory.mktemp("graph")
        write(folder, sources(edit))
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(folder))
            forget()
            digests.append({number: code_digest([f"toy.{module[number]}.f{number}"]) for number in functions})
    forget()
    for number in functions:
        assert (digests[0][number] != digests[1][number]) == (edited in reaches(number)), f"f{number}"


@pytest.mark.parametrize(
    "unknown",
    [
        "nowhere.at_all",
        "notafluke.nn.activations.irsi",
        "notafluke.nn.no_such_module.f",
        "notafluke.no_such_name",
        "toy_that_is_not_there",
    ],
)
def test_an_object_without_source_is_a_lookup_error(unknown: str) -> None:
    with pytest.raises(LookupError, match=unknown):
        code_digest(["notafluke.nn.activations.iris", unknown])


def test_every_part_of_the_engine_is_found() -> None:
    reached = set(reached_definitions(ENGINE))
    assert {tuple(path.rsplit(".", 1)) for path in ENGINE} <= reached


def test_the_same_in_every_process(tmp_path: Path) -> None:
    """Under another PYTHONHASHSEED and in another folder, and without importing torch."""
    code = (
        "import sys; from notafluke.code_digest import code_digest; print(code_digest(sys.argv[1:])); "
        "assert not {'torch', 'hydra'} & set(sys.modules)"
    )
    objects = [*ENGINE, "notafluke.nn.recurrent.LSTM", "notafluke.tasks.stock.Stock"]
    for hash_seed in ("0", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", code, *objects],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == code_digest(objects)


def modules_reached(*objects: str) -> set[str]:
    return {module for module, _ in reached_definitions(objects)}


@pytest.mark.parametrize("start", [*ENGINE, "notafluke.tasks.stock.Stock", "notafluke.nn.recurrent.LSTM"])
def test_what_does_not_change_a_result_is_not_reached(start: str) -> None:
    """Editing tracking, tables or verdicts must not train anything again."""
    kept_out = {"tracking", "claims", "records", "plan", "study", "decision", "scores", "cli", "workflow", "train"}
    reached = {module.removeprefix("notafluke.") for module in modules_reached(start)}
    assert not reached & kept_out
    assert not {module for module in reached if module.partition(".")[0] in ("report", "stats", "provenance")}


def test_the_engine_reaches_no_single_component() -> None:
    reached = modules_reached(*ENGINE)
    assert not {module for module in reached if module.startswith("notafluke.nn")}
    assert "notafluke.training.state" not in reached
    assert {module for module in reached if module.startswith("notafluke.tasks")} <= {"notafluke.tasks.base"}
    assert "notafluke.training.gradients.clip_norm" not in {".".join(found) for found in reached_definitions(ENGINE)}


def test_the_engine_reaches_what_decides_a_result() -> None:
    reached = {".".join(found) for found in reached_definitions([*ENGINE, "notafluke.training.state.Reset"])}
    assert {
        "notafluke.streams.generator",
        "notafluke.streams.torch_seed",
        "notafluke.training.block.SeedBlock",
        "notafluke.training.samples.ROW_MULTIPLE",
        "notafluke.training.determinism.pin_torch",
        "notafluke.training.determinism.ENVIRONMENT",
        "notafluke.tasks.base.Split",
    } <= reached


def test_iris_reaches_only_what_it_uses() -> None:
    own = "notafluke.nn.activations"
    sigmoid = {(own, "iris_sigmoid"), (own, "FAR")}
    assert set(reached_definitions([f"{own}.iris_sigmoid"])) == sigmoid
    assert set(reached_definitions([f"{own}.iris"])) == {(own, "iris"), (own, "SQRT_5"), *sigmoid}
    assert set(reached_definitions([f"{own}.golden_tanh"])) == {(own, "golden_tanh"), (own, "GOLDEN_RATIO")}
    assert set(reached_definitions([f"{own}.tanh"])) == {(own, "tanh")}


def test_the_lstm_does_not_reach_the_rnn() -> None:
    lstm, rnn = (set(reached_definitions([f"notafluke.nn.recurrent.{name}"])) for name in ("LSTM", "RNN"))
    own = "notafluke.nn.cells"
    assert (own, "LSTMLayer") in lstm - rnn and (own, "RNNLayer") in rnn - lstm
    assert (own, "RecurrentLayer") in lstm & rnn


def test_source_files() -> None:
    files = source_files(["notafluke.nn.activations.iris"])
    assert [path.as_posix().rpartition("/src/")[2] for path in files] == ["notafluke/nn/activations.py"]
