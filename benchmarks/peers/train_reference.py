"""The reference work as a plain Hydra program with Lightning and MLflow: what notafluke is compared with.

One run: ``python train_reference.py activation=iris seed=3 data=... database=... records=...``; a sweep: the same with
``-m``. Nothing of notafluke is used: its data come as .npz files.
"""

import json
import logging
import math
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import hydra
import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import MLFlowLogger
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "golden_tanh": lambda x: (1 + math.sqrt(5)) / 2 * torch.tanh(x),
    "iris": lambda x: math.sqrt(5) * x * torch.rsqrt(x * x + 4),
    "relu": torch.relu,
}
EVALUATION_SAMPLES = 1000


class FusedLSTM(nn.Module):
    """PyTorch's own layer, for tanh; its second bias says nothing new and stays 0."""

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float) -> None:
        super().__init__()
        self.layer = nn.LSTM(input_size, hidden_size, batch_first=True)
        with torch.no_grad():
            self.layer.bias_ih_l0[hidden_size : 2 * hidden_size] = forget_bias
            self.layer.bias_hh_l0.zero_()
        self.layer.bias_hh_l0.requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        """The last hidden state [B, H] for inputs [B, T, F]."""
        return self.layer(inputs)[1][0][0]


class LoopLSTM(nn.Module):
    """An LSTM for any activation: one input projection for all steps, one recurrent product a step."""

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float, activation: str) -> None:
        super().__init__()
        self.hidden_size, self.activation = hidden_size, ACTIVATIONS[activation]
        self.project = nn.Linear(input_size, 4 * hidden_size)
        self.recur = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        bound = 1 / math.sqrt(hidden_size)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-bound, bound)
            self.project.bias[hidden_size : 2 * hidden_size] = forget_bias

    def forward(self, inputs: Tensor) -> Tensor:
        """The last hidden state [B, H] for inputs [B, T, F]; gates in PyTorch's order."""
        weight = self.recur.weight.t()
        hidden = cell = inputs.new_zeros(len(inputs), self.hidden_size)
        for projected in self.project(inputs.transpose(0, 1)).unbind(0):
            entered, kept, candidate, shown = torch.addmm(projected, hidden, weight).chunk(4, dim=1)
            cell = torch.sigmoid(kept) * cell + torch.sigmoid(entered) * self.activation(candidate)
            hidden = torch.sigmoid(shown) * self.activation(cell)
        return hidden


def new_layer(activation: str, input_size: int, hidden_size: int, forget_bias: float) -> nn.Module:
    """The fastest layer that computes an LSTM with this activation."""
    if activation == "tanh":
        return FusedLSTM(input_size, hidden_size, forget_bias)
    return LoopLSTM(input_size, hidden_size, forget_bias, activation)


class Reference(pl.LightningModule):
    """One network; keeps the weights of its best validation epoch in memory."""

    def __init__(self, config: DictConfig, input_size: int, output_size: int) -> None:
        super().__init__()
        self.config = config
        self.layer = new_layer(config.activation, input_size, config.hidden_size, config.forget_bias)
        self.head = nn.Linear(config.hidden_size, output_size)
        self.losses: list[Tensor] = []
        self.squares: list[Tensor] = []
        self.best_epoch, self.best_mse, self.best_weights = -1, math.inf, self.state_dict()

    def forward(self, inputs: Tensor) -> Tensor:
        """Predictions [B, O]."""
        return self.head(self.layer(inputs))

    def training_step(self, batch: list[Tensor]) -> Tensor:
        """The loss of a batch."""
        loss = functional.smooth_l1_loss(self(batch[0]), batch[1])
        self.losses.append(loss.detach())
        return loss

    def validation_step(self, batch: list[Tensor]) -> None:
        """Collect the squared errors of a batch."""
        self.squares.append((self(batch[0]) - batch[1]).square())

    test_step = validation_step

    def mse(self) -> float:
        """The mean squared error of what was collected."""
        mse = torch.cat(self.squares).double().mean().item()
        self.squares.clear()
        return mse

    def on_validation_epoch_end(self) -> None:
        """Keep the weights if they are the best so far."""
        self.validation_mse = self.mse()
        if self.validation_mse < self.best_mse:
            self.best_epoch, self.best_mse = self.current_epoch, self.validation_mse
            self.best_weights = {name: value.clone() for name, value in self.state_dict().items()}

    def on_train_epoch_end(self) -> None:
        """Log once an epoch, all metrics together."""
        self.log_dict({"train_loss": torch.stack(self.losses).mean(), "validation_mse": self.validation_mse})
        self.losses.clear()

    def on_test_epoch_end(self) -> None:
        """Log the test score."""
        self.log("test_mse", self.mse())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.config.lr)


def loader(inputs: np.ndarray, targets: np.ndarray, batch_size: int, shuffle: bool = False) -> DataLoader:
    """Batches that are cut out of the tensors at once, not sample by sample."""
    samples = TensorDataset(torch.from_numpy(inputs), torch.from_numpy(targets))
    order = RandomSampler(samples) if shuffle else SequentialSampler(samples)
    # With batch_size=None a sampler's element, here a list of indices, goes to the data set as it is.
    return DataLoader(samples, sampler=BatchSampler(order, batch_size, drop_last=False), batch_size=None)


@hydra.main(version_base=None, config_path=".", config_name="train_reference")
def train(config: DictConfig) -> None:
    """Train and test one run, and append its line to the records."""
    began = time.time()
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(config.threads)
    pl.seed_everything(config.seed, verbose=False)
    with np.load(Path(config.data) / f"{config.seed}.npz") as stored:
        data = {name: (stored[f"{name}_inputs"], stored[f"{name}_targets"]) for name in ("train", "validation", "test")}
    model = Reference(config, data["train"][0].shape[-1], data["train"][1].shape[-1])
    name = f"{config.activation}-{config.seed}"
    logger = MLFlowLogger("reference", run_name=name, tracking_uri=config.database)
    logger.log_hyperparams(OmegaConf.to_container(config, resolve=True))
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=config.max_epochs,
        gradient_clip_val=config.max_norm,
        logger=logger,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
    )
    training = loader(*data["train"], config.batch_size, shuffle=True)
    trainer.fit(model, training, loader(*data["validation"], EVALUATION_SAMPLES))
    model.load_state_dict(model.best_weights)
    (tested,) = trainer.test(model, loader(*data["test"], EVALUATION_SAMPLES), verbose=False)
    record = {
        "activation": config.activation,
        "seed": config.seed,
        "mse": tested["test_mse"],
        "threads": config.threads,
    }
    record |= {"best_epoch": model.best_epoch, "process": os.getpid(), "began": began, "ended": time.time()}
    with Path(config.records).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    train()
