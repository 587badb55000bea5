"""What git says of the working folder; nothing where there is no git or no repository."""

from __future__ import annotations

import subprocess

SECONDS = 30.0


def git(*arguments: str) -> str:
    """The output of a git command, without white space at its ends; empty where it fails."""
    return git_bytes(*arguments)[0].decode("utf-8", errors="replace").strip()


def git_bytes(*arguments: str, most: int | None = None) -> tuple[bytes, bool]:
    """The output of a git command, and whether that is all of it; nothing where it fails.

    With ``most``, at most so many bytes of whole lines, and the rest is never read.
    """
    # Another process may hold the index, and what only looks must not write it.
    command = ["git", "--no-optional-locks", *arguments]
    try:
        if most is None:
            done = subprocess.run(command, capture_output=True, check=False, timeout=SECONDS)
            return (done.stdout, True) if done.returncode == 0 else (b"", True)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            content = process.stdout.read(most + 1)
            if len(content) > most:
                process.kill()
                return content[: content.rfind(b"\n", 0, most) + 1], False
        return (content, True) if process.returncode == 0 else (b"", True)
    except (OSError, subprocess.TimeoutExpired):
        return b"", True
