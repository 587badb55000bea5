"""What the options of ``conf/`` say of themselves: description and source, and which are reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from notafluke.configuration import documentation_keys, read_yaml

RECONSTRUCTION = "(reconstruction)"


@dataclass(frozen=True)
class DescribedOption:
    """An option of a group with its description and source."""

    group: str
    option: str
    description: str
    source: str

    @property
    def name(self) -> str:
        """As overrides name it."""
        return f"{self.group}={self.option}"


def described_option(conf: Path, group: str, option: str) -> DescribedOption:
    """Read what an option file says of itself. Raises UsageError for a file that is not YAML."""
    content = read_yaml(conf / group / f"{option}.yaml")
    description, source = (str(content.get(key, "")).strip() for key in documentation_keys(group))
    return DescribedOption(group, option, description, source)


def reconstruction_note(options: Sequence[DescribedOption]) -> list[str]:
    """A line that names the options whose published source gives no formula; none where there are none."""
    names = [own.name for own in options if RECONSTRUCTION in own.description]
    if not names:
        return []
    return [f"Reconstructed by this project, as their source gives no formula: {', '.join(names)}."]
