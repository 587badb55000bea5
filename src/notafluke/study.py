"""A study: tasks x treatments x seeds and the claims that it decides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from notafluke.errors import UsageError

Spending = Literal["obrien_fleming", "pocock"]
Expectation = Literal["better", "worse", "equivalent", "not_worse"]
Role = Literal["claim", "negative_control", "positive_control"]

CONTROL = "control"
BASELINE_PREFIX = "baseline:"
SPENDINGS = get_args(Spending)


@dataclass(frozen=True)
class Sesoi:
    """Smallest effect size of interest: in metric units, or relative to the mean of the comparison's control."""

    value: float
    relative: bool


@dataclass(frozen=True)
class Claim:
    """A sentence that the study decides, task by task.

    ``treatment`` and ``control`` are arm names (``control`` for the study's own control, otherwise its changes, for
    example ``activation=iris``); ``control`` may also be ``baseline:<name>``. ``metric`` is None for each task's
    primary metric.
    """

    id: str
    sentence: str
    treatment: str
    control: str
    tasks: tuple[str, ...]
    metric: str | None
    sesoi: Mapping[str, Sesoi]
    expects: Expectation
    role: Role


@dataclass(frozen=True)
class Arm:
    """A control or treatment on one task: its name and all overrides that make it, by key."""

    name: str
    overrides: Mapping[str, str]


@dataclass(frozen=True)
class Study:
    """A resolved study: what is trained and what is decided, command-line overrides included.

    ``name`` is its folder below ``results/``: the file's name, with ``+<hash8>`` when overridden. ``looks`` are the
    declared numbers of seeds at which it is looked at, none for one look; ``spending`` is how they spend alpha.
    ``arms`` are the arms of each task, the control first.
    """

    name: str
    title: str
    alpha: float
    test: str
    correction: str
    tune: str
    looks: tuple[int, ...]
    spending: Spending
    seeds: tuple[int, ...]
    arms: Mapping[str, tuple[Arm, ...]]
    claims: tuple[Claim, ...]

    @classmethod
    def from_text_tree(cls, name: str, tree: Mapping[str, Any]) -> Study:
        """The study of ``as_text_tree``."""
        claims = tuple(
            Claim(
                **{
                    **claim,
                    "id": claim_id,
                    "tasks": tuple(claim["tasks"]),
                    "sesoi": {task: Sesoi(**value) for task, value in claim["sesoi"].items()},
                }
            )
            for claim_id, claim in tree["claims"].items()
        )
        arms = {
            task: tuple(Arm(arm, overrides) for arm, overrides in own.items()) for task, own in tree["arms"].items()
        }
        # A study that was registered before there were looks had one.
        numbers = {"looks": tuple(tree.get("looks", ())), "seeds": tuple(tree["seeds"])}
        spending = tree.get("spending", SPENDINGS[0])
        return cls(**{**tree, **numbers, "spending": spending, "name": name, "arms": arms, "claims": claims})

    @property
    def digest(self) -> str:
        """sha256 of the resolved text, without the name and what makes no other run (SETTINGS)."""
        return tree_digest(self._decided())

    @property
    def design_digest(self) -> str:
        """sha256 of the resolved text without the seeds: the same for one study at more and at fewer seeds."""
        return tree_digest({key: value for key, value in self._decided().items() if key != "seeds"})

    def _decided(self) -> dict[str, Any]:
        # Here, because it brings Hydra, and whoever only reads verdicts needs none.
        from notafluke.configuration import SETTINGS

        tree = self.as_text_tree()
        for arms in tree["arms"].values():
            for overrides in arms.values():
                for key in SETTINGS:
                    overrides.pop(key, None)
        return tree

    def as_text_tree(self) -> dict[str, Any]:
        """The study as plain mappings, lists and scalars, to be stored and compared."""
        tree = asdict(self)
        del tree["name"]
        tree["seeds"] = list(self.seeds)
        tree["arms"] = {task: {arm.name: dict(arm.overrides) for arm in arms} for task, arms in self.arms.items()}
        tree["claims"] = {
            claim["id"]: {key: value for key, value in claim.items() if key != "id"} for claim in tree["claims"]
        }
        return json.loads(json.dumps(tree))  # type: ignore[no-any-return]


def tree_digest(tree: Any) -> str:
    """The sha256 of a study as plain mappings, lists and scalars."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def read_sesoi(where: str, value: Any) -> Sesoi:
    """A smallest effect size of interest as written: ``0.01`` or ``2%``. Raises UsageError that says where."""
    text = str(value).strip()
    relative = text.endswith("%")
    try:
        number = float(text.removesuffix("%")) / (100 if relative else 1)
    except ValueError:
        number = float("nan")
    if not 0 < number < float("inf"):
        raise UsageError(f"{where}: {value!r} is neither a positive number nor a percentage such as 2%")
    return Sesoi(number, relative)
