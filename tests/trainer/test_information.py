"""Uncertainty: minus the mutual information of image and class, against scipy and closed forms."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from trainer.losses.information import uncertainty


def test_it_is_the_difference_of_scipys_entropies() -> None:
    scores = np.random.default_rng(0).normal(0, 3, (50, 7)).astype(np.float32)
    probability = softmax(scores.astype(np.float64), axis=1)

    expected = entropy(probability, axis=1).mean() - entropy(probability.mean(axis=0))

    assert float(uncertainty(torch.from_numpy(scores), "logits")) == pytest.approx(expected, abs=1e-5)
    assert float(uncertainty(torch.from_numpy(probability), "probabilities")) == pytest.approx(expected, abs=1e-5)


def test_it_is_lowest_where_every_answer_is_certain_and_all_are_given_equally_often() -> None:
    certain = torch.eye(5).repeat(4, 1)

    assert float(uncertainty(certain, "probabilities")) == pytest.approx(-np.log(5), abs=1e-5)


@pytest.mark.parametrize("answers", [torch.eye(5)[:1].repeat(20, 1), torch.full((20, 5), 0.2)], ids=["one", "none"])
def test_saying_always_the_same_or_nothing_at_all_is_worth_nothing(answers: torch.Tensor) -> None:
    assert float(uncertainty(answers, "probabilities")) == pytest.approx(0.0, abs=1e-5)


def test_its_gradient_is_finite_where_an_answer_is_certain() -> None:
    scores = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)

    uncertainty(scores, "logits").backward()

    assert scores.grad is not None and scores.grad.isfinite().all()
