"""Components of a network: activations, losses, outputs, cells and models, each ordinary PyTorch for one model."""

from notafluke.nn.dropout import Dropout

__all__ = ["Dropout"]
