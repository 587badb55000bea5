"""What the tasks that predict the next character share: windows, bits per character, baselines and samples."""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy.special import logsumexp

from notafluke.errors import UsageError
from notafluke.tasks.base import (
    SPLITS,
    Float32,
    Int64,
    Kind,
    Metric,
    Prompts,
    Split,
    TargetsAt,
    TaskData,
    require_shape,
    require_whole,
)
from notafluke.tasks.classification import class_metrics, one_hot
from notafluke.tasks.corpus import Sizes, decode, encode
from notafluke.tasks.dataset import DatasetTask, Prepared
from notafluke.tasks.ngram import NGram
from notafluke.tasks.overlap import longest_overlap

BITS = "bits_per_character"
CHARACTER_METRICS = (
    Metric(BITS, "lower", "bits"),
    Metric("accuracy", "higher", "share of characters"),
    Metric("calibration_error", "lower"),
    Metric("total_probability", "higher"),
)
_SHOWN = 60
"""Characters of a copied passage that samples.txt shows."""


@dataclass(frozen=True, eq=False)
class CharacterData(TaskData):
    """Windows, and the texts behind them.

    alphabet: its characters; the symbol ``len(alphabet)`` is any other. texts: by part of the corpus and split, the
    places of the characters in the alphabet, int64 [characters]. scored: how many characters of each test text are
    predicted in its windows. order: of the n-grams.
    """

    alphabet: str
    texts: Mapping[str, Mapping[str, Int64]]
    scored: Mapping[str, int]
    order: int

    @property
    def symbols(self) -> int:
        """The alphabet and the symbol for the rest."""
        return len(self.alphabet) + 1

    @cached_property
    def counting(self) -> dict[str, tuple[float, float]]:
        """By part, the bits per character of its unigram and its n-gram model on the scored part of its test text."""
        return {part: (self._bits(part, 1), self._bits(part, self.order)) for part in self.texts}

    def _bits(self, part: str, order: int) -> float:
        model = NGram.fit(self.texts[part]["train"], self.symbols, order)
        # The first character of a split is only an input.
        return model.bits(self.texts[part]["test"][: self.scored[part] + 1])


class CharacterTask(DatasetTask):
    """A task whose targets are the next character at every step of windows of text, one-hot.

    Windows of a text follow each other without a gap: the inputs of window i are its characters i * length to
    (i + 1) * length - 1, counted from 0, the targets the characters one further on. What is left over at the end is
    not used.
    """

    kind: ClassVar[Kind] = "classes"
    targets_at: ClassVar[TargetsAt] = "every"
    primary_metric = BITS
    parts: ClassVar[tuple[str, ...]]
    """The parts of the corpus: each has texts of its own for train, validation and test."""

    def __init__(
        self,
        *,
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
        """Store the options: see the classes that derive from this one."""
        self.length = length
        self.sizes = Sizes(characters, validation_characters, test_characters, symbols)
        self.order = order
        self.own_prompts = prompts
        self.passages = passages
        self.sample_characters = sample_characters

    @property
    def input_size(self) -> int:
        """One feature a symbol: the alphabet and the symbol for all other characters."""
        return len(self.prepared.arrays["alphabet"]) + 1

    @property
    def output_size(self) -> int:
        """One class a symbol."""
        return self.input_size

    def check_options(self) -> None:
        """Raise UsageError for an option that cannot be used."""
        require_whole("length", self.length, 1)
        self.sizes.check()
        require_whole("order", self.order, 1)
        require_whole("sample_characters", self.sample_characters, 1)
        require_whole("passages", self.passages, 0)
        own: object = self.own_prompts
        if own is not None and not _is_list_of_texts(own):
            raise UsageError(f"task.prompts={own!r}: it must be a list of texts, none of them empty")

    def texts_of(self, prepared: Prepared) -> dict[str, dict[str, Int64]]:
        """Return the texts by part and split. Raises UsageError where one is too short for a single window."""
        texts = {
            part: {split: prepared.arrays[f"{part}_{split}"].astype(np.int64) for split in SPLITS}
            for part in self.parts
        }
        for part, of_part in texts.items():
            for split, text in of_part.items():
                if len(text) <= self.length:
                    of = "" if len(self.parts) == 1 else f"{part} "
                    raise UsageError(
                        f"task.length={self.length}: the {of}{split} text has only {len(text)} characters, a window "
                        f"and the one after it need {self.length + 1}; give more text, or a smaller task.length"
                    )
        return texts

    def windows(self, text: Int64, symbols: int, most: int | None = None) -> Split:
        """Cut a text into windows, the first `most` of them: inputs [n, length, symbols], classes [n, length]."""
        count = (len(text) - 1) // self.length
        count = count if most is None else min(count, most)
        used = text[: count * self.length + 1]
        shape = (count, self.length)
        return Split(one_hot(used[:-1].reshape(shape), symbols), used[1:].reshape(shape).copy())

    @abstractmethod
    def prompt_texts(self, data: CharacterData) -> list[tuple[str, str]]:
        """Return where each prompt comes from, and its text."""

    def chosen_prompts(self, data: CharacterData, tested: Mapping[str, str]) -> list[tuple[str, str]]:
        """Return the user's prompts, or passages as long as a window from the test texts of parts, by name."""
        if self.own_prompts is not None:
            return [("of the user", text) for text in self.own_prompts]
        return [
            (f"from {name}", passage)
            for name, part in tested.items()
            for passage in passages(decode(data.texts[part]["test"], data.alphabet), self.passages, self.length)
        ]

    def prompts(self, data: TaskData) -> Prompts | None:
        """Return the user's prompts or passages of the test text, [prompts, characters, symbols].

        Shorter prompts begin with line feeds (the symbol for other characters, if the alphabet has none), so that all
        are of one length.
        """
        own = character_data(data)
        texts = [encode(text, own.alphabet) for _, text in self.prompt_texts(own)]
        if not texts:
            return None
        filler = encode("\n", own.alphabet)
        longest = max(len(text) for text in texts)
        filled = np.stack([np.concatenate([np.repeat(filler, longest - len(text)), text]) for text in texts])
        return Prompts(one_hot(filled, own.symbols), self.sample_characters)

    def next_inputs(self, predictions: Float32, rng: np.random.Generator) -> Float32:
        """Draw a character from the probabilities of each prompt, divided by their sum."""
        logs = predictions.astype(np.float64)
        steps = np.cumsum(np.exp(logs - logsumexp(logs, axis=1, keepdims=True)), axis=1)
        drawn = (rng.random((len(logs), 1)) * steps[:, -1:] >= steps).sum(axis=1)
        return one_hot(drawn, logs.shape[1])

    def sample_files(self, data: TaskData, prompts: Prompts, continuations: Float32) -> dict[str, bytes]:
        """Return samples.txt: each prompt, what the network wrote, and the longest passage of it that is copied."""
        own = character_data(data)
        sources = {part: decode(texts["train"], own.alphabet) for part, texts in own.texts.items()}
        lines = [
            f"Each prompt and the {prompts.steps} characters that the network drew after it, one at a time from its",
            "own probabilities; below, the longest passage of these that stands, letter for letter, in training text.",
            "For comparison, the same for as many characters from the middle of each test text, which nobody copied:",
        ]
        for texts in own.texts.values():
            middle = len(texts["test"]) // 2
            lines += _copied(decode(texts["test"][middle : middle + prompts.steps], own.alphabet), sources)
        written = decode(continuations.argmax(axis=2).reshape(-1), own.alphabet)
        for number, (origin, text) in enumerate(self.prompt_texts(own)):
            continuation = written[number * prompts.steps : (number + 1) * prompts.steps]
            lines += ["", f"=== Prompt {number + 1}, {origin} ===", text, "--- continued ---", continuation, "---"]
            lines += _copied(continuation, sources)
        return {"samples.txt": ("\n".join(lines) + "\n").encode()}


def character_data(data: TaskData) -> CharacterData:
    """Return the data as what `cut` gave. Raises TypeError where they are not."""
    if not isinstance(data, CharacterData):
        raise TypeError("the metrics of texts need the data that load() returned")
    return data


def character_metrics(log_probabilities: Float32, classes: Int64) -> dict[str, float]:
    """Return CHARACTER_METRICS of log probabilities [windows, length, symbols] for the true classes.

    `bits_per_character`: the mean of -log2 p of the true character, the log loss in nats divided by ln 2; the others as
    `class_metrics`. All are NaN where a prediction is not finite.
    """
    require_shape(log_probabilities, (*classes.shape, log_probabilities.shape[-1]))
    scores = class_metrics(log_probabilities, classes)
    scores[BITS] = scores["log_loss"] / math.log(2)
    return {metric.name: scores[metric.name] for metric in CHARACTER_METRICS}


def passages(text: str, count: int, length: int) -> list[str]:
    """Return `count` passages of at most `length` characters, evenly spaced, each from the beginning of a line."""
    found = []
    for number in range(count):
        middle = (2 * number + 1) * (len(text) - length) // (2 * count)
        at = text.rfind("\n", 0, middle) + 1
        found.append(text[at : at + length])
    return found


def _is_list_of_texts(value: object) -> bool:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return False
    return all(isinstance(text, str) and text != "" for text in value)


def _copied(text: str, sources: Mapping[str, str]) -> list[str]:
    lines = []
    for part, source in sources.items():
        passage = longest_overlap(text, source).passage
        shown = passage if len(passage) <= _SHOWN else passage[:_SHOWN] + "..."
        where = "the training text" if len(sources) == 1 else f"the training text of task.{part}"
        lines.append(
            f"{len(passage)} of {len(text)} characters stand in {where}: {json.dumps(shown, ensure_ascii=False)}"
        )
    return lines
