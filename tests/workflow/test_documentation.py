"""The worked examples of docs/components.md, followed to the letter."""

import re
import shlex

import pytest

NAMED_BLOCK = re.compile(r"`([\w/.]+\.(?:py|yaml))`:\n\n```(?:python|yaml)\n(.*?)```", re.DOTALL)
EXAMPLES = ("activation=bent", "output=tempered_cce", "model=mean_perceptron", "task=average trainer")
FIRST_RUN = re.compile(r"seed 0: ok  (\w+) ([\d.]+)")


@pytest.fixture
def page(pristine):
    """The page; every file that it shows is written, at the end of one that is there already."""
    text = (pristine.root / "docs/components.md").read_text(encoding="utf-8")
    for path, content in NAMED_BLOCK.findall(text):
        file = pristine.root / path
        before = file.read_text(encoding="utf-8") + "\n\n" if file.exists() else ""
        file.write_text(before + content, encoding="utf-8")
    return text


def test_every_worked_example_does_what_the_page_says(pristine, page):
    for example in EXAMPLES:
        command, shown = re.search(rf"notafluke (train .*{example}.*)\n((?:\.\.\.\n.*)?)", page).groups()

        done = pristine.notafluke(*shlex.split(command))

        printed, promised = FIRST_RUN.search(done.stdout), FIRST_RUN.search(shown)
        assert printed, done.output
        if promised:
            assert printed[1] == promised[1]
            # The last digits depend on the kind of CPU.
            assert float(printed[2]) == pytest.approx(float(promised[2]), rel=0.05), example
