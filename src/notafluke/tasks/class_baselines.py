"""What is no neural network gets on a task for classes: the frequencies, logistic regression, a decision tree."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from notafluke.tasks.base import Float32, Float64, Int64
from notafluke.tasks.classification import class_metrics

MAX_ITERATIONS = 1000
"""Of the logistic regression's L-BFGS; whether it had converged by then is told."""

Score = tuple[str, str, float]
"""Name of the method, metric, value on the test split."""


def class_baselines(
    inputs: Float32, classes: Int64, test_inputs: Float32, test_classes: Int64
) -> tuple[list[Score], dict[str, Any]]:
    """Return the scores of methods fitted to inputs [N, F] and classes [N] of the train split, and facts about them.

    Every class must be among the training samples, as 0, 1, 2, ... Nothing is random.

    - `class_frequencies`: the shares of the training classes for every sample; log_loss, accuracy.
    - `logistic_regression`: multinomial, L2 penalty 1/2 |w|^2 beside the summed log loss (scikit-learn's default);
      log_loss, accuracy.
    - `decision_tree`: CART, Gini, grown until its leaves are pure (scikit-learn's default); accuracy alone, because
      pure leaves give the probabilities 0 and 1, and one mistake an infinite log loss.
    """
    # Here: scikit-learn costs a second that other plans do not need.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    frequencies = np.bincount(classes) / len(classes)
    regression = LogisticRegression(max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(inputs, classes)
    logits = np.asarray(regression.decision_function(test_inputs), dtype=np.float64)
    if logits.ndim == 1:  # of the second of two classes
        logits = np.stack([np.zeros_like(logits), logits], axis=1)
    tree = DecisionTreeClassifier(random_state=0).fit(inputs, classes)
    known = {
        "class_frequencies": np.tile(np.log(frequencies), (len(test_classes), 1)),
        "logistic_regression": logits,
    }
    scores = [
        (name, metric, _scores(logs, test_classes)[metric])
        for name, logs in known.items()
        for metric in ("log_loss", "accuracy")
    ]
    scores.append(("decision_tree", "accuracy", float(np.mean(tree.predict(test_inputs) == test_classes))))
    return scores, {
        "logistic_regression_converged": int(regression.n_iter_.max()) < MAX_ITERATIONS,
        "decision_tree_depth": int(tree.get_depth()),
    }


def _scores(logs: Float64, classes: Int64) -> dict[str, float]:
    return class_metrics(logs.astype(np.float32), classes)
