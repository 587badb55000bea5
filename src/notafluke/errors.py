"""Errors that the user can mend, told in one clear line."""

from __future__ import annotations

import difflib
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from notafluke.redaction import redact

DEBUG = "--debug"
"""The flag of every command that shows the traceback of a UsageError."""


class UsageError(Exception):
    """A mistake in what the user gave (option, file, study): one clear line, without a traceback, exit code 2."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        """Keep the message as one line that a terminal shows as it is: see ``one_line``."""
        super().__init__(one_line(str(message)))


class GoneError(UsageError):
    """What is named is not there (any more): an option or key of the configuration, or a function."""


class StorageError(UsageError):
    """A result could not be stored: the disk is full, say. Nothing that was stored is lost; exit code 1."""

    exit_code = 1


class Stopped(BaseException):
    """The process was asked to stop by a signal. No Exception, so that nobody takes it for a failure of a component."""

    def __init__(
        self, number: signal.Signals, then: str = "what is recorded stays, and the same command goes on from there"
    ) -> None:
        """Say by which signal, and what is ``then``; the exit code is that of a process which the signal has ended."""
        super().__init__(f"stopped by {number.name}; {then}")
        self.number = number
        self.exit_code = 128 + number


class ComponentError(UsageError):
    """A component cannot be used; ``group`` is its group, ``reason`` why, in words that follow the component's name."""

    def __init__(self, group: str, reason: str) -> None:
        """Without the option file, which only who has chosen the option knows."""
        super().__init__(f"{group}: {reason}")
        self.group = group
        self.reason = one_line(reason)


def named(error: BaseException) -> str:
    """The kind of an error and the first line of what it says.

    >>> named(ArithmeticError("cursed\\nindeed")), named(KeyError())
    ('ArithmeticError: cursed', 'KeyError')
    """
    kind, said = type(error).__name__, str(error).splitlines()
    return f"{kind}: {said[0]}" if said and said[0] else kind


def one_line(text: str) -> str:
    r"""The text with blanks for line breaks and tabs (from a file's cell, say), and other control characters escaped.

    >>> one_line("two\nlines\x1b[2J")
    'two lines\\x1b[2J'
    """
    line = " ".join(text.replace("\t", " ").splitlines())
    if line.isprintable():
        return line
    return "".join(own if own.isprintable() else own.encode("unicode_escape").decode() for own in line)


@contextmanager
def told_in_one_line(debug: bool) -> Iterator[None]:
    """End the program with one line and its exit code on a UsageError or when it is stopped.

    With `debug` let the traceback of a UsageError through.
    """
    try:
        yield
    except UsageError as error:
        if debug:
            raise
        print(redact(f"error: {error}"), file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except Stopped as stopped:
        # The terminal may be what has gone.
        with suppress(OSError):
            print(stopped, file=sys.stderr, flush=True)
        raise SystemExit(stopped.exit_code) from None


def did_you_mean(value: object, choices: Iterable[str]) -> str:
    """Return the end of an error line: the nearest choice, if one is near, and all valid choices, sorted.

    Upper and lower case are not told apart when looking for the nearest.

    >>> did_you_mean("irsi", ["tanh", "iris", "gelu"])
    "; did you mean 'iris'? valid: gelu, iris, tanh"
    >>> did_you_mean("42", ["tanh", "iris", "gelu"])
    '; valid: gelu, iris, tanh'
    """
    valid = sorted(set(choices))
    if not valid:
        return "; there is nothing to choose from"
    by_folded = {choice.casefold(): choice for choice in reversed(valid)}
    near = difflib.get_close_matches(str(value).casefold(), list(by_folded), n=1)
    hint = f"; did you mean {by_folded[near[0]]!r}?" if near else ";"
    return f"{hint} valid: {', '.join(valid)}"
