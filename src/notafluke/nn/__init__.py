"""Components of a network: activations, losses, cells and models, each ordinary PyTorch for one model."""
