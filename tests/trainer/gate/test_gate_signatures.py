"""Signatures are moments and power in rings; the shrunk covariance is scikit-learn's."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from service.contract.input_spec import InputSpec
from trainer.gate.signatures import RINGS, ROUNDING, shrunk_covariance, signatures, span_of


def test_means_and_deviations_come_first_channel_by_channel() -> None:
    images = np.random.default_rng(0).random((4, 3, 10, 12))

    found = signatures(images, 1.0)

    assert found.shape == (4, 6 + RINGS)
    np.testing.assert_allclose(found[:, :3], images.mean(axis=(2, 3)))
    np.testing.assert_allclose(found[:, 3:6], images.std(axis=(2, 3)))


def test_power_of_white_noise_is_its_variance_in_every_ring() -> None:
    noise = np.random.default_rng(1).normal(0.0, 0.3, (200, 1, 32, 32))

    power = np.exp(signatures(noise, 1.0)[:, 2:]).mean(axis=0)

    # The lowest ring has 12 frequencies, half of them independent: 1,200 exponential draws, 3 %; three of them.
    np.testing.assert_allclose(power, 0.09 + ROUNDING, rtol=0.09)


@pytest.mark.parametrize(("frequency", "ring"), [(1 / 32, 0), (1 / 8, 2), (3 / 8, 6), (1 / 2, 7)])
def test_a_wave_lies_in_its_ring(frequency: float, ring: int) -> None:
    wave = np.cos(2 * np.pi * frequency * np.arange(32)) * np.ones((1, 1, 32, 1))

    # Ring r of 8 spans r / 16 to (r + 1) / 16 waves a pixel.
    assert signatures(wave, 1.0)[0, 2:].argmax() == ring


def test_an_empty_picture_has_the_power_of_rounding() -> None:
    found = signatures(np.full((1, 1, 9, 7), 0.4), 2.0)

    np.testing.assert_allclose(found[0], [0.4, 0.0, *[np.log(ROUNDING * 4.0)] * RINGS], atol=1e-12)


def test_pictures_too_small_for_every_ring_have_finite_signatures() -> None:
    assert np.isfinite(signatures(np.random.default_rng(2).random((2, 1, 2, 3)), 1.0)).all()


def test_the_span_is_that_of_the_planes() -> None:
    spec = InputSpec(name="x", shape=(2, 4, 4), bounds=(0.0, 1.0), mean=(0.5, 0.1), std=(0.5, 0.25))

    # (1 - 0) / 0.5 and (1 - 0) / 0.25.
    assert span_of(spec) == pytest.approx((2.0 + 4.0) / 2.0)


@pytest.mark.parametrize("count", [5, 40, 2000])
def test_the_shrunk_covariance_is_scikit_learns(count: int) -> None:
    draw = np.random.default_rng(3)
    rows = draw.normal(size=(count, 12)) @ draw.normal(size=(12, 12))

    np.testing.assert_allclose(shrunk_covariance(rows), ledoit_wolf(rows)[0], rtol=1e-9, atol=1e-9)


def test_a_few_rows_without_direction_have_a_multiple_of_the_identity() -> None:
    rows = np.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])

    np.testing.assert_allclose(shrunk_covariance(rows), np.eye(2), atol=1e-12)
    np.testing.assert_allclose(shrunk_covariance(rows[:3]), ledoit_wolf(rows[:3])[0], atol=1e-12)


def test_rows_that_are_all_alike_have_no_covariance() -> None:
    assert np.array_equal(shrunk_covariance(np.ones((6, 3))), np.zeros((3, 3)))
