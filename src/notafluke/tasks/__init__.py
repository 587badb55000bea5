"""The tasks: each one is a data set with its split, features, metrics and baselines, in a module of its own."""
