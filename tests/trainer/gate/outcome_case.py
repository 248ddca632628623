"""A source whose class probabilities are drawn, for tests of what is measured against it."""

import numpy as np

from service.contract.fingerprint import OutcomeStatistics
from trainer.gate.source import outcome_statistics

CLASSES = 4


def drawn(count: int, seed: int, *, sure: float = 6.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Class probabilities (n, 4), labels (n,) that they mostly agree with, and channel means (n, 3)."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, CLASSES, count)
    logits = sure * np.eye(CLASSES)[labels] + draw.normal(0, 2.0, (count, CLASSES))
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True), labels, draw.normal(size=(count, 3))


def source(count: int = 2000, seed: int = 0, *, labels_given: bool = True) -> OutcomeStatistics:
    probability, labels, means = drawn(count, seed)
    return outcome_statistics(probability, labels, means, labels_given=labels_given)
