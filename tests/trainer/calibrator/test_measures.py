"""Accuracy on the move and the share of high frequencies, against what must come out."""

import numpy as np
import pytest

from trainer.studies.calibrator.measures import STINT, STINTS, high_frequency_share, journey


def test_a_device_that_is_never_wrong_anywhere_is_never_wrong_on_the_way() -> None:
    right = np.ones(50, dtype=bool)

    assert journey(right, right, 0) == (100.0, 100.0)


def test_a_device_that_is_right_in_one_domain_alone_is_right_while_it_is_there() -> None:
    right, wrong = np.ones(50, dtype=bool), np.zeros(50, dtype=bool)

    ways = [journey(right, wrong, seed) for seed in range(40)]

    # It begins in the source and moves ten times on average.
    assert 35.0 < np.mean([way.mean for way in ways]) < 65.0
    # It stays for ten stints at least once on most ways.
    assert np.mean([way.worst == 0.0 for way in ways]) > 0.8


def test_the_same_seed_is_the_same_way() -> None:
    draw = np.random.default_rng(0)
    source, target = draw.random(200) < 0.9, draw.random(200) < 0.7

    assert journey(source, target, 3) == journey(source, target, 3)
    assert journey(source, target, 3) != journey(source, target, 4)
    assert STINT * STINTS == 20_000


@pytest.mark.parametrize(("cycles", "share"), [(2, 0.0), (7, 0.0), (8, 100.0), (14, 100.0)])
def test_a_wave_is_high_from_a_quarter_cycle_a_pixel_on(cycles: int, share: float) -> None:
    wave = np.cos(2 * np.pi * cycles / 32 * np.arange(32))

    found = high_frequency_share(np.tile(wave, (3, 1, 32, 1)).astype(np.float32) + 5.0)

    assert found == pytest.approx(share, abs=1e-6)


def test_white_noise_has_the_share_of_the_frequencies_that_are_high() -> None:
    noise = np.random.default_rng(0).normal(size=(400, 1, 32, 32)).astype(np.float32)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32)))

    assert high_frequency_share(noise) == pytest.approx(100 * np.mean(radius >= 0.25), abs=0.5)
