"""The recipe of a training: all that decides how one model trains, apart from its data and its random streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from notafluke.tasks.base import Kind, Task, TaskData
from notafluke.training.gradients import Gradients
from notafluke.training.samples import Batch

Loss = Callable[[Tensor, Tensor], Tensor]
OptimizerBuilder = Callable[[Sequence[nn.Parameter], int], LRScheduler]


class Output(Protocol):
    """What the network's numbers [..., O] mean."""

    @property
    def kind(self) -> Kind:
        """Which tasks it is for."""

    def own_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each sample that belongs to the output, [...]; raises ValueError where it has none."""

    def values(self, outputs: Tensor) -> Tensor:
        """What a loss of the group ``loss`` compares with the targets, [..., O]."""

    def predictions(self, outputs: Tensor) -> Tensor:
        """What the task's metrics see, [..., O]."""

    def caution(self, classes: int) -> str:
        """What should be known about it for so many classes; empty where there is nothing."""


class StateRule(Protocol):
    """What happens to the state between samples."""

    @property
    def carried(self) -> bool:
        """Whether a sample starts from the state that the one before it left."""

    def training_batches(
        self, samples: int, batch_size: int, truncation: int, online: bool, shuffled: Callable[[], Tensor]
    ) -> Iterator[Batch]:
        """The batches of one pass that learns.

        ``truncation`` is a window's worth of samples; ``shuffled()`` draws each seed's own order [S, samples]. Online
        the samples come in the order of time.
        """

    def evaluation_batches(self, samples: int) -> Iterator[Batch]:
        """The batches of one pass that only predicts, in the order of time."""


@dataclass(frozen=True)
class Recipe:
    """Components with their options bound.

    ``build_model(input_size, output_size)`` gives an ordinary model of [B, T, F] to [B, T, O] or [B, O]; see
    ``notafluke.training.forward`` for those that carry a state or give a sequence of their own. With ``takes_steps`` it
    is also told the time steps of a sample, as ``steps``.
    ``loss(prediction, target)`` one loss per element, None for the loss that belongs to the output; ``gradient_rule``
    maps the gradients of one model by name; ``optimizer(parameters, steps)`` gives the optimizer within its schedule.
    ``pretraining_epochs`` on the earlier data of a task come before the ``max_epochs`` on its training split.
    ``online``: predict a batch in the order of time, then learn from it, also in the validation and test split.
    """

    build_model: Callable[..., nn.Module]
    output: Output
    loss: Loss | None
    gradient_rule: Callable[[Gradients], Gradients]
    optimizer: OptimizerBuilder
    state: StateRule
    online: bool
    pretraining_epochs: int
    max_epochs: int
    batch_size: int
    takes_steps: bool = False

    def new_model(self, task: Task, data: TaskData) -> nn.Module:
        """Build a model for the data of a task."""
        steps = {"steps": data.train.inputs.shape[1]} if self.takes_steps else {}
        return self.build_model(task.input_size, task.output_size, **steps)

    def objective(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each element [..., O], or of each sample [...], of one model's outputs [..., O]."""
        if self.loss is None:
            return self.output.own_loss(outputs, targets)
        return self.loss(self.output.values(outputs), targets)
