"""Training: the seed-batched engine, gradient rules, optimizers and determinism."""
