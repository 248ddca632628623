"""Other class frequencies behind a first corrector re-weight the source where taps confirm them, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from service.contract.fingerprint import Fingerprint
from service.contract.statistics import ImageMoments, TapMoments, take
from tests.trainer.gate.outcome_case import CLASSES, source
from tests.trainer.gate.test_gate_label_shift import SKEW, digits, fingerprint
from trainer.gate.reweighting import Reweighting, reweigh
from trainer.measure import Measured

TAPS = ("early", "late")


def known() -> tuple[Fingerprint, TapMoments, np.ndarray]:
    """A source of sixty images that the model tells apart without fault, each four times, and their classes."""
    taps = {name: digits(np.random.default_rng(seed)) for seed, name in enumerate(TAPS)}
    labels = taps["early"][1]
    rows = np.repeat(np.arange(60), 4)
    made = replace(
        fingerprint(taps),
        outcome=replace(source(200), confusion=np.eye(CLASSES)),
        class_counts=np.bincount(labels).astype(float),
    )
    return made, take({name: tap[0] for name, tap in taps.items()}, rows), labels[rows]


def seen(moments: TapMoments, labels: np.ndarray, rows: np.ndarray) -> Measured:
    return Measured(take(moments, rows), np.eye(CLASSES, dtype=np.float32)[labels[rows]])


def reweighed(measured: Measured, made: Fingerprint) -> Reweighting | None:
    return reweigh(measured, made, TAPS, scores="probabilities", seed=0)


def test_a_skewed_batch_gets_the_source_that_it_would_have_come_from() -> None:
    made, moments, labels = known()
    rows = np.repeat(np.arange(240), SKEW[labels])

    found = reweighed(seen(moments, labels, rows), made)

    assert found is not None
    assert found.explained == pytest.approx(1.0)
    for name in TAPS:
        skewed = moments[name].take(rows).pooled()
        np.testing.assert_allclose(found.fingerprint.taps[name].mean, skewed.mean, rtol=1e-9)
        np.testing.assert_allclose(found.fingerprint.taps[name].var, skewed.var, rtol=1e-9)
    assert replace(found.fingerprint, taps=made.taps) == made
    assert found.numbers()["reweighted_distance"] == found.prior.distance


def test_a_batch_with_the_sources_frequencies_leaves_it_as_it_is() -> None:
    made, moments, labels = known()

    assert reweighed(seen(moments, labels, np.arange(240)), made) is None


def test_frequencies_that_the_taps_do_not_confirm_are_not_believed() -> None:
    made, moments, labels = known()
    rows = np.repeat(np.arange(240), SKEW[labels])
    brighter = {name: ImageMoments(m.first + 9.0, m.second + 18.0 * m.first + 81.0) for name, m in moments.items()}

    assert reweighed(seen(brighter, labels, rows), made) is None


def test_a_fingerprint_without_outcome_statistics_stays_as_it_is() -> None:
    made, moments, labels = known()
    rows = np.repeat(np.arange(240), SKEW[labels])

    assert reweighed(seen(moments, labels, rows), replace(made, outcome=None)) is None
