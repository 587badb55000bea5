"""Names of the columns of a run's history that are no metrics of its task."""

TRAIN_LOSS = "train_loss"
"""Mean loss of an epoch's batches."""
GRADIENT_NORM = "gradient_norm/"
"""Followed by a parameter's name: the mean norm of its gradient over an epoch's steps, before the gradient rule."""
