"""What is kept of the source is what its definition says, and stays small for models with many classes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.gate.outcome_case import CLASSES, drawn, source
from trainer.gate.scores import entropies
from trainer.gate.source import LEVELS, MOST_CHANNELS, MOST_CLASSES, outcome_statistics, quantiles


@settings(deadline=None)
@given(st.lists(st.integers(0, 9) | st.floats(0, 9), min_size=1, max_size=700))
def test_a_quantile_has_its_share_at_or_below_it_and_less_below(values: list[float]) -> None:
    sample, shares = np.array(values, dtype=float), np.linspace(0, 1, LEVELS)

    found = quantiles(sample)

    assert set(found) <= set(sample)
    assert all((sample <= x).mean() >= share - 1e-12 for x, share in zip(found, shares, strict=True))
    # The lowest quantile has nothing below it, which is its share.
    assert all((sample < x).mean() < share + 1e-12 for x, share in zip(found, shares, strict=True))


def test_quantiles_of_columns_are_those_of_each() -> None:
    table = np.random.default_rng(0).random((3, 400))

    assert np.array_equal(quantiles(table), np.stack([quantiles(row) for row in table]))


def test_accuracy_and_means_are_counted() -> None:
    probability, labels, _ = drawn(2000, 0)

    found = source()

    assert found.accuracy == pytest.approx([(probability.argmax(axis=1) == labels).mean()])
    assert found.mean_largest == pytest.approx([probability.max(axis=1).mean()])
    assert found.mean_entropy == pytest.approx([entropies(probability).mean()])
    np.testing.assert_allclose(found.mean, probability.mean(axis=0))


def test_as_many_lie_at_or_below_the_threshold_as_are_right() -> None:
    probability, labels, _ = drawn(2000, 0)

    found = source()

    assert found.entropy_threshold is not None
    below = (entropies(probability) <= found.entropy_threshold[0]).sum()
    assert below == (probability.argmax(axis=1) == labels).sum() < 2000


def test_if_nothing_is_right_nothing_lies_below_the_threshold() -> None:
    probability, _, means = drawn(50, 0)

    found = outcome_statistics(probability, probability.argmin(axis=1), means, labels_given=True)

    assert found.accuracy is not None
    assert found.entropy_threshold is not None
    assert (found.accuracy[0], (entropies(probability) <= found.entropy_threshold[0]).any()) == (0.0, False)


def test_without_labels_there_is_no_accuracy() -> None:
    found = source(labels_given=False)

    assert found.accuracy is found.entropy_threshold is None
    assert found.confusion is not None


def test_confusion_has_a_row_for_each_class_and_none_for_one_without_images() -> None:
    probability, labels, means = drawn(500, 1)
    kept = labels != 3

    found = outcome_statistics(probability[kept], labels[kept], means[kept], labels_given=True).confusion

    assert found is not None
    for index in range(3):
        np.testing.assert_allclose(found[index], probability[labels == index].mean(axis=0))
    assert np.isnan(found[3]).all()


def test_sure_and_balanced_batches_come_near_a_nuclear_norm_of_one() -> None:
    probability = np.eye(CLASSES)[np.arange(4000) % CLASSES]

    found = outcome_statistics(probability, np.arange(4000) % CLASSES, np.zeros((4000, 1)), labels_given=True)

    # Of n sure rows: sum over classes of sqrt(n_c) / sqrt(4 n); by chance counts n_c differ, ever less.
    assert (np.diff(found.nuclear_norm) > 0).all()
    assert found.nuclear_norm[-1] == pytest.approx(1.0, abs=2e-3)
    assert found.sizes.tolist() == [16, 32, 64, 128, 256, 512, 1024]


def test_a_source_smaller_than_every_size_has_its_own() -> None:
    assert source(10).sizes.tolist() == [10]


def test_a_thousand_classes_take_no_more_room_than_they_may() -> None:
    probability = np.random.default_rng(2).dirichlet(np.linspace(0.01, 1, 1000), 200)
    means = np.random.default_rng(3).random((200, 64))

    found = outcome_statistics(probability, probability.argmax(axis=1), means, labels_given=False)

    assert found.confusion is None
    assert found.probability.shape == (MOST_CLASSES, LEVELS)
    assert found.mean[found.classes].min() >= np.delete(found.mean, found.classes).max()
    assert found.channel_means.shape == (MOST_CHANNELS, LEVELS)
    assert (found.channels[0], found.channels[-1]) == (0, 63)
    np.testing.assert_array_equal(found.channel_means[-1], quantiles(means[:, 63]))
