"""Class frequencies come out of exact mixtures exactly, and what cannot be known is said to be unsafe."""

from dataclasses import replace

import numpy as np
import pytest

from service.contract.fingerprint import Fingerprint, OutcomeStatistics, TapStatistics
from service.contract.statistics import ChannelMoments, ImageMoments, pool, take
from tests.trainer.gate.outcome_case import CLASSES, drawn, source
from trainer.gate.label_shift import PriorEstimate, estimate_prior, explained, reweighted

COUNTS = np.array([40.0, 30.0, 20.0, 10.0])
SKEW = np.array([1, 0, 5, 2])
"""How often every image of a class occurs in the skewed set."""


def with_confusion(confusion: np.ndarray | None) -> OutcomeStatistics:
    return replace(source(100), confusion=confusion)


def estimate(probability: np.ndarray, confusion: np.ndarray, counts: np.ndarray = COUNTS) -> PriorEstimate:
    found = estimate_prior(probability, with_confusion(confusion), counts, seed=0)
    assert found is not None
    return found


def one_hot(counts: list[int]) -> np.ndarray:
    return np.repeat(np.eye(len(counts)), counts, axis=0)


def test_perfect_predictions_are_counted() -> None:
    found = estimate(one_hot([10, 0, 60, 30]), np.eye(CLASSES))

    np.testing.assert_allclose(found.prior, [0.1, 0.0, 0.6, 0.3], atol=1e-12)
    np.testing.assert_allclose(found.source, [0.4, 0.3, 0.2, 0.1])
    # Half of |.1 - .4| + |0 - .3| + |.6 - .2| + |.3 - .1|.
    assert found.distance == pytest.approx(0.6)
    assert (found.condition, found.smallest_count, found.clipped) == pytest.approx((1.0, 10.0, 0.0), abs=1e-12)
    assert found.is_safe


def test_the_spread_is_that_of_counting() -> None:
    found = estimate(one_hot([10, 0, 60, 30]), np.eye(CLASSES))

    # sqrt(p (1 - p) / n), from a hundred resamples: known to 7 %; four of them.
    np.testing.assert_allclose(found.spread, np.sqrt(found.prior * (1 - found.prior) / 100), rtol=0.28)


def test_a_mixture_of_unsure_predictions_is_taken_apart() -> None:
    confusion = 0.1 + 0.6 * np.eye(CLASSES)
    prior = np.array([0.1, 0.2, 0.3, 0.4])

    found = estimate(np.tile(prior @ confusion, (50, 1)), confusion)

    np.testing.assert_allclose(found.prior, prior)
    assert found.noise == pytest.approx(0.0, abs=1e-12)


def test_drawn_predictions_of_a_skewed_batch_give_its_frequencies() -> None:
    probability, labels, _ = drawn(8000, 9, sure=4.0)
    reference, of, means = drawn(4000, 10, sure=4.0)
    del means
    confusion = np.stack([reference[of == index].mean(axis=0) for index in range(CLASSES)])
    rows = np.concatenate([np.flatnonzero(labels == index)[:count] for index, count in enumerate([400, 50, 250, 300])])

    found = estimate(probability[rows], confusion, np.bincount(of).astype(float))

    # A thousand images: a standard deviation of .02 at most where predictions are that unsure.
    np.testing.assert_allclose(found.prior, [0.4, 0.05, 0.25, 0.3], atol=0.06)
    assert found.is_safe


def test_classes_that_are_hardly_told_apart_keep_their_shares_and_are_unsafe() -> None:
    confusion = np.eye(CLASSES)
    confusion[2:, 2:] = [[0.51, 0.49], [0.49, 0.51]]

    found = estimate(np.tile(np.array([0.2, 0.2, 0.5, 0.1]) @ confusion, (60, 1)), confusion)

    assert found.condition == pytest.approx(50.0)
    assert not found.is_safe
    # Together 2 and 3 have doubled; what one has more than the other stays as it was.
    np.testing.assert_allclose(found.prior, [0.2, 0.2, 0.35, 0.25], atol=1e-12)


def test_predictions_that_no_mixture_makes_are_unsafe() -> None:
    # At the source no image of any class is predicted as 0 with more than .4.
    confusion = np.array([[0.4, 0.2, 0.2, 0.2], [0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1], [0.1, 0.1, 0.1, 0.7]])

    found = estimate(one_hot([60, 0, 0, 0]), confusion)

    assert found.clipped > 0.5
    assert not found.is_safe
    assert found.prior.sum() == pytest.approx(1.0)
    assert found.prior.min() >= 0.0


def test_a_class_with_two_source_images_is_unsafe() -> None:
    assert not estimate(one_hot([30, 30, 30, 30]), np.eye(CLASSES), np.array([40.0, 30.0, 20.0, 2.0])).is_safe


def test_a_handful_of_images_is_unsafe() -> None:
    assert not estimate(one_hot([1, 1, 1, 1]), np.eye(CLASSES)).is_safe


def test_a_class_without_source_images_gets_no_share() -> None:
    confusion = np.eye(CLASSES)
    confusion[1] = np.nan

    found = estimate(one_hot([30, 0, 30, 0]), confusion, np.array([40.0, 0.0, 20.0, 10.0]))

    np.testing.assert_allclose(found.prior, [0.5, 0.0, 0.5, 0.0], atol=1e-12)
    assert found.smallest_count == 10.0


def test_the_same_seed_gives_the_same_estimate() -> None:
    first, second = (estimate(one_hot([10, 5, 20, 3]), np.eye(CLASSES)) for _ in range(2))

    assert first.numbers() == second.numbers()
    assert np.array_equal(first.spread, second.spread)


def test_without_confusion_there_is_no_estimate() -> None:
    assert estimate_prior(one_hot([5, 5, 5, 5]), with_confusion(None), COUNTS, seed=0) is None


def test_an_unbounded_condition_is_no_number() -> None:
    endless = replace(estimate(one_hot([9, 9, 9, 9]), np.eye(CLASSES)), condition=float("inf"))

    assert set(endless.numbers()) == {
        f"prior_{name}" for name in ("distance", "noise", "smallest_count", "clipped", "safe")
    }
    assert endless.numbers()["prior_safe"] == 0.0


# Moments under another prior.


def digits(draw: np.random.Generator) -> tuple[ImageMoments, np.ndarray]:
    """Activations of 60 images whose level and contrast depend on their class."""
    labels = np.repeat(np.arange(CLASSES), [24, 18, 12, 6])
    level, contrast = draw.normal(size=(CLASSES, 5)), draw.random((CLASSES, 5)) + 0.5
    noise = draw.normal(size=(60, 5, 7, 7))
    return ImageMoments.of(level[labels][..., None, None] + contrast[labels][..., None, None] * noise), labels


def fingerprint(taps: dict[str, tuple[ImageMoments, np.ndarray]], classes: int = CLASSES) -> Fingerprint:
    def of(moments: ImageMoments, labels: np.ndarray) -> TapStatistics:
        pooled, tables = moments.pooled(), []
        for part in (moments.first, moments.second):
            rows = [
                part[labels == index].mean(axis=0) if (labels == index).any() else np.full(5, np.nan)
                for index in range(classes)
            ]
            tables.append(np.stack(rows))
        return TapStatistics(pooled.mean, pooled.var, *tables)

    return Fingerprint("0" * 64, "full", {name: of(*tap) for name, tap in taps.items()})


def test_reweighted_moments_are_those_of_the_skewed_set() -> None:
    taps = {name: digits(np.random.default_rng(seed)) for seed, name in enumerate(["early", "late"])}
    labels = taps["early"][1]
    rows = np.repeat(np.arange(60), SKEW[labels])
    prior = estimate(np.eye(CLASSES)[labels[rows]], np.eye(CLASSES), np.bincount(labels).astype(float)).prior

    found = reweighted(fingerprint(taps), prior)

    assert list(found) == ["early", "late"]
    for name, (moments, _) in taps.items():
        skewed = moments.take(rows).pooled()
        np.testing.assert_allclose(found[name].mean, skewed.mean, rtol=1e-9)
        np.testing.assert_allclose(found[name].var, skewed.var, rtol=1e-9)


def test_the_sources_own_prior_gives_its_own_moments() -> None:
    moments, labels = digits(np.random.default_rng(3))
    made = fingerprint({"tap": (moments, labels)})

    found = reweighted(made, np.bincount(labels) / 60)["tap"]

    np.testing.assert_allclose(found.mean, made.taps["tap"].mean, rtol=1e-9)
    np.testing.assert_allclose(found.var, made.taps["tap"].var, rtol=1e-9)


def test_a_class_that_the_source_lacks_is_left_out() -> None:
    moments, labels = digits(np.random.default_rng(4))
    made = fingerprint({"tap": (moments, labels)}, classes=CLASSES + 1)

    found = reweighted(made, np.array([0.5, 0.0, 0.0, 0.0, 0.5]))["tap"]

    np.testing.assert_allclose(found.mean, moments.take(np.flatnonzero(labels == 0)).pooled().mean)


def test_taps_without_class_moments_are_left_out() -> None:
    made = fingerprint({"tap": digits(np.random.default_rng(5))})
    none = np.zeros((0, 5))
    bare = replace(made, taps={"bare": replace(made.taps["tap"], class_first=none, class_second=none), **made.taps})

    assert list(reweighted(bare, np.full(CLASSES, 0.25))) == ["tap"]


# What class frequencies account for.


def skewed_case() -> tuple[Fingerprint, dict[str, ChannelMoments], np.ndarray]:
    taps = {name: digits(np.random.default_rng(seed)) for seed, name in enumerate(["early", "late"])}
    labels = taps["early"][1]
    batch = pool(take({name: tap[0] for name, tap in taps.items()}, np.repeat(np.arange(60), SKEW[labels])))
    weights = SKEW * np.bincount(labels)
    return fingerprint(taps), batch, weights / weights.sum()


def test_a_skewed_batch_is_explained_by_its_prior() -> None:
    made, batch, prior = skewed_case()

    assert explained(batch, made, prior, ["early", "late"]) == pytest.approx(1.0)


def test_the_sources_own_prior_explains_nothing() -> None:
    made, batch, _ = skewed_case()

    assert explained(batch, made, np.array([24, 18, 12, 6]) / 60, ["early", "late"]) == pytest.approx(0.0, abs=1e-9)


def test_a_prior_does_not_explain_another_scale() -> None:
    made, _, prior = skewed_case()
    brighter = {name: ChannelMoments(3.0 * m.mean + 2.0, 9.0 * m.var) for name, m in made.moments().items()}

    assert explained(brighter, made, prior, ["early", "late"]) < 0.4


def test_taps_without_class_moments_stay_unexplained() -> None:
    made, batch, prior = skewed_case()
    none = np.zeros((0, 5))
    bare = replace(made, taps={**made.taps, "late": replace(made.taps["late"], class_first=none, class_second=none)})

    assert explained(batch, bare, prior, ["late"]) == 0.0
    assert 0.0 < explained(batch, bare, prior, ["early", "late"]) < 1.0


def test_where_there_is_no_loss_nothing_is_explained() -> None:
    made, _, prior = skewed_case()

    assert explained(made.moments(), made, prior, ["early"]) == 0.0
