"""A run record as an example; tests replace what they are about."""

from notafluke.records import RunRecord

RECORD = RunRecord(
    run_key="ab" * 32,
    cell_key="cd" * 32,
    task="adding",
    changes={"activation": "iris"},
    seed=3,
    outcome="ok",
    reason="",
    last_epoch=0,
    best_epoch=0,
    primary_metric="mse",
    directions={"mse": "lower"},
    units={"mse": ""},
    metrics={"mse": 0.5},
    validation={"mse": 0.5},
    baselines=[],
    parameters=1,
    seconds=0.1,
    weight_digest="ef" * 32,
    provenance={},
    learning_rate=0.3,
)
