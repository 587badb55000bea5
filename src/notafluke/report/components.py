"""What the options of a study are: description and source of each, and which are this project's reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from notafluke.configuration import conf_folder, documentation_keys, read_yaml
from notafluke.plan import Plan

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


def described_option(group: str, option: str) -> DescribedOption:
    """Read what an option file says of itself."""
    content = read_yaml(conf_folder() / group / f"{option}.yaml")
    description, source = (str(content.get(key, "")).strip() for key in documentation_keys(group))
    return DescribedOption(group, option, description, source)


def options_in_use(plan: Plan) -> list[DescribedOption]:
    """Every option that an arm of the study uses, by group."""
    return [described_option(group, option) for group, options in plan.choices.items() for option in options]


def reconstruction_note(options: Sequence[DescribedOption]) -> list[str]:
    """A line that names the options whose published source gives no formula; none where there are none."""
    names = [own.name for own in options if RECONSTRUCTION in own.description]
    if not names:
        return []
    return [f"Reconstructed by this project, as their source gives no formula: {', '.join(names)}."]
