"""Seeded damage: bit flips and truncations of stored files, and mutated inputs for parsers."""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import yaml

Random = np.random.Generator

# What parsers stumble over: numbers at the edge, digits of other alphabets, control characters, YAML and Hydra grammar.
NASTY_TEXTS = (
    *("", " ", "null", "~", "nan", "-inf", "1e400", "1e-400", "0x10", "1_000", "0.1.2", "-0", "00", "007", "²", "٣"),
    *("99999999999999999999", "1e308", "-1", "0", "2026-13-45", "2026-02-30", "0000-00-00", "12:30:45", "2001-01-01"),
    *("0x_", "0b_", "9" * 5000, "!!binary aGk=", "!!set {a}", "!!omap [a: 1]", "!!timestamp 2001-01-01", "&a [*a]"),
    *("\0", "\x1b", "\ufeff", "\u2028", "\u0085", "é", "😀", "\r", "\t", "\n", '"', "'", "''", '"""', "\\", "`"),
    *(
        ":",
        ": ",
        "- ",
        "? ",
        "& ",
        "&a",
        "*a",
        "!",
        "!!",
        "!!int",
        "!!bool x",
        "!!float",
        "!!null x",
        "!!python/object:os.system",
        "%YAML 1.2",
        "---",
    ),
    *("...", "<<", "<<: *a", "{", "}", "[", "]", "[]", "{}", "[[", "|", ">", "#", "@", "=", "==", "a=b", "=a", "a="),
    *(",", ",,", "${seed}", "${oc.env:HOME}", "${", "$", "+a=b", "~a", "++", "range(0,3)", "range(3,0)", "range("),
    *("range(0,100000)", "glob(*)", "glob(", "choice()", "sort(1,2)", "interval(0,1)", "tanh,", ",iris", "x" * 300),
    *("a.b.c", "_target_", "..", "../../etc/passwd", "/etc/passwd", "%", "2%", "%2", "true", "yes", "off", "True"),
    *("0b1", ".inf", ".nan", "1:2", "+1"),
)
NASTY_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**70, -(2**63), 0.5, 1e-300, 1e300, float("inf"), float("nan")),
    *([], {}, [[]], [None], [1, [2]], {"a": {"b": 1}}, {1: 2}, {None: 1}, {True: "x"}, [{"a": 1}], b"bytes"),
    *(datetime.date(2001, 1, 1), datetime.datetime(2001, 1, 1, 12, tzinfo=datetime.UTC)),
)


def flip_bits(rng: Random, content: bytes, count: int = 1) -> bytes:
    """``content`` with ``count`` different bits turned over."""
    damaged = bytearray(content)
    for place in rng.choice(8 * len(content), count, replace=False).tolist():
        damaged[place // 8] ^= 1 << (place % 8)
    return bytes(damaged)


def truncate(rng: Random, content: bytes) -> bytes:
    """A beginning of ``content``, shorter than it."""
    return content[: int(rng.integers(len(content)))]


def damage(rng: Random, content: bytes) -> bytes:
    """One to three flipped bits, or a file that was cut short; one time in ten zeros where a block was not written."""
    kind = rng.random()
    if kind < 0.6:
        return flip_bits(rng, content, int(rng.integers(1, min(4, 8 * len(content)))))
    if kind < 0.9:
        return truncate(rng, content)
    start = int(rng.integers(len(content)))
    zeros = content[:start] + b"\0" * min(512, len(content) - start) + content[start + 512 :]
    return zeros if zeros != content else truncate(rng, content)


def mutate_bytes(rng: Random, content: bytes) -> bytes:
    """One to four changes of bytes, words and lines."""
    changes: tuple[Callable[[Random, bytes], bytes], ...] = (
        *(_flip, _cut, _repeat, _insert, _replace_word, _swap_lines, truncate),
    )
    for _ in range(int(rng.integers(1, 5))):
        if content:
            content = changes[int(rng.integers(len(changes)))](rng, content)
    return content


def _flip(rng: Random, content: bytes) -> bytes:
    return flip_bits(rng, content)


def _span(rng: Random, content: bytes) -> tuple[int, int]:
    start = int(rng.integers(len(content)))
    return start, min(len(content), start + int(rng.geometric(0.05)))


def _cut(rng: Random, content: bytes) -> bytes:
    start, end = _span(rng, content)
    return content[:start] + content[end:]


def _repeat(rng: Random, content: bytes) -> bytes:
    start, end = _span(rng, content)
    return content[:end] + content[start:end] * int(rng.integers(1, 4)) + content[end:]


def _insert(rng: Random, content: bytes) -> bytes:
    place = int(rng.integers(len(content) + 1))
    if rng.random() < 0.2:
        word = rng.integers(0, 256, int(rng.integers(1, 9)), dtype=np.uint8).tobytes()
    else:
        word = nasty_text(rng).encode("utf-8")
    return content[:place] + word + content[place:]


def _replace_word(rng: Random, content: bytes) -> bytes:
    words = list(re.finditer(rb"[^\s:,]+", content))
    if not words:
        return content
    word = words[int(rng.integers(len(words)))]
    return content[: word.start()] + nasty_text(rng).encode("utf-8") + content[word.end() :]


def _swap_lines(rng: Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    first, second = rng.integers(len(lines), size=2).tolist()
    lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


def nasty_text(rng: Random) -> str:
    """One of the texts that parsers stumble over."""
    return NASTY_TEXTS[int(rng.integers(len(NASTY_TEXTS)))]


def nasty_value(rng: Random) -> Any:
    """The same for values of YAML, texts among them."""
    if rng.random() < 0.5:
        return nasty_text(rng)
    return NASTY_VALUES[int(rng.integers(len(NASTY_VALUES)))]


def mutate_tree(rng: Random, tree: Any) -> Any:
    """YAML content with one to three of its nodes replaced, removed, renamed, moved or added."""
    changed = yaml.safe_load(yaml.safe_dump(tree))
    for _ in range(int(rng.integers(1, 4))):
        nodes = list(_nodes(changed))
        if not nodes:
            return nasty_value(rng)
        holder, key = nodes[int(rng.integers(len(nodes)))]
        kind = int(rng.integers(5))
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[_other_key(rng, key)] = holder.pop(key)
        elif kind == 2:
            source, name = nodes[int(rng.integers(len(nodes)))]
            # Copied: a node within itself would have no end.
            holder[key] = yaml.safe_load(yaml.safe_dump(source[name]))
        elif kind == 3 and isinstance(holder, dict):
            holder[_other_key(rng, key)] = nasty_value(rng)
        else:
            holder[key] = nasty_value(rng)
    return changed


def _nodes(tree: Any) -> list[tuple[Any, Any]]:
    """Every (mapping or list, key) below ``tree``."""
    items: Sequence[tuple[Any, Any]] = ()
    if isinstance(tree, dict):
        items = list(tree.items())
    elif isinstance(tree, list):
        items = list(enumerate(tree))
    return [(tree, key) for key, _ in items] + [node for _, value in items for node in _nodes(value)]


def _other_key(rng: Random, key: Any) -> Any:
    value = nasty_value(rng) if rng.random() < 0.5 else f"{key}{'xs_. '[int(rng.integers(5))]}"
    return value if isinstance(value, str | int | float | bool | None) else str(key)[:-1]


def mutate_csv(rng: Random, text: str) -> bytes:
    """A CSV file with one to three changes of its cells, rows and columns, sometimes under other rules of writing."""
    rows = list(csv.reader(io.StringIO(text)))
    for _ in range(int(rng.integers(1, 4))):
        row = int(rng.integers(len(rows)))
        column = int(rng.integers(max(1, len(rows[row]))))
        kind = int(rng.integers(8))
        if kind <= 2 and rows[row]:
            rows[row][min(column, len(rows[row]) - 1)] = nasty_text(rng)
        elif kind == 3 and rows[row]:
            del rows[row][min(column, len(rows[row]) - 1)]
        elif kind == 4:
            rows.insert(int(rng.integers(len(rows) + 1)), list(rows[row]))
        elif kind == 5 and len(rows) > 1:
            del rows[row]
        elif kind == 6:
            rows = [own[:column] + own[column + 1 :] for own in rows]
        else:
            rows = [[*own, own[min(column, len(own) - 1)] if own else ""] for own in rows]
    buffer = io.StringIO()
    delimiter = "," if rng.random() < 0.9 else ";\t|"[int(rng.integers(3))]
    ending = "\n" if rng.random() < 0.8 else "\r\n"
    quoting = csv.QUOTE_ALL if rng.random() < 0.2 else csv.QUOTE_MINIMAL
    csv.writer(buffer, delimiter=delimiter, lineterminator=ending, quoting=quoting, escapechar="\\").writerows(rows)
    encoding = "utf-8" if rng.random() < 0.9 else ("utf-16", "latin-1")[int(rng.integers(2))]
    return buffer.getvalue().encode(encoding, "replace")
