"""What a batch is told before a fit: unfit, nothing to correct, other class frequencies, or nothing against a fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from service.contract.bundle import Bundle
from service.contract.fingerprint import Fingerprint
from service.contract.manifest import ModelManifest
from service.contract.verdict import ReasonCode
from tests.trainer.tiny_case import shifted, source, tiny_task
from trainer.corrector import Corrector
from trainer.gate.label_shift import PriorEstimate
from trainer.gate.sanity import Fault, Sanity
from trainer.gate.screen import MOST_EXPLAINED, Screening, screen
from trainer.gate.shift import ShiftTest
from trainer.measure import measure

IN_ORDER = Sanity(10, np.arange(10), {fault: np.arange(0) for fault in Fault})
SHIFTED = ShiftTest(1e-9, "entropy", 0.4, 5)
ALIKE = ShiftTest(0.5, "entropy", 0.02, 5)


def prior(*, clipped: float = 0.0) -> PriorEstimate:
    even = np.full(4, 0.25)
    return PriorEstimate(even, even, 0 * even, 0.3, 0.05, condition=2.0, smallest_count=50, clipped=clipped)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (Screening(IN_ORDER), None),
        (Screening(IN_ORDER, True, SHIFTED), None),
        (Screening(IN_ORDER, True, ALIKE), ReasonCode.NOTHING_TO_CORRECT),
        (Screening(IN_ORDER, False, ALIKE), None),
        (Screening(IN_ORDER, False, SHIFTED, prior(), MOST_EXPLAINED + 0.1), ReasonCode.LABEL_SHIFT),
        (Screening(IN_ORDER, False, SHIFTED, prior(), MOST_EXPLAINED - 0.1), None),
        (Screening(IN_ORDER, False, SHIFTED, prior(clipped=0.5), MOST_EXPLAINED + 0.1), None),
        (Screening(IN_ORDER, False, SHIFTED, prior(), None), None),
        (Screening(IN_ORDER, True, ALIKE, prior(), MOST_EXPLAINED + 0.1), ReasonCode.NOTHING_TO_CORRECT),
    ],
)
def test_the_first_question_that_is_answered_with_no_is_the_reason(found: Screening, code: ReasonCode | None) -> None:
    assert (found.reason.code if found.reason else None) == code
    assert found.rows.tolist() == list(range(10))


def test_what_has_faults_is_left_out_and_where_it_is_most_of_a_batch_nothing_is_fitted() -> None:
    few = Sanity(10, np.arange(6), {Fault.REPEAT: np.arange(6, 10)})
    many = Sanity(10, np.arange(4), {Fault.FLAT: np.arange(4, 6), Fault.REPEAT: np.arange(6, 10)})

    assert (Screening(few).reason, Screening(few).rows.tolist()) == (None, [0, 1, 2, 3, 4, 5])
    reason = Screening(many, False, SHIFTED).reason
    assert reason is not None
    assert reason.code == ReasonCode.BATCH_UNFIT
    assert "of 10 images, 2 are of one colour, 4 repeat another one: 4 are left" in reason.text
    assert Screening(many).rows.tolist() == list(range(10))
    three = Screening(Sanity(6, np.arange(3), {Fault.REPEAT: np.arange(3, 6)})).reason
    assert three is not None, "three images cannot be divided into parts"
    assert three.code == ReasonCode.BATCH_UNFIT


def screened(tiny: Bundle[ModelManifest], images: np.ndarray, fingerprint: Fingerprint | None = None) -> Screening:
    task = tiny_task(tiny, images)
    measured = measure(task.frozen, Corrector(), torch.from_numpy(images))
    return screen(images, measured, fingerprint or task.fingerprint, tiny.manifest, seed=0)


def test_images_like_the_sources_leave_nothing_to_correct(tiny: Bundle[ModelManifest]) -> None:
    reason = screened(tiny, source(200, 5)).reason

    assert reason is not None
    assert reason.code == ReasonCode.NOTHING_TO_CORRECT


def test_shifted_images_are_to_be_fitted_and_every_number_is_told(tiny: Bundle[ModelManifest]) -> None:
    found = screened(tiny, shifted(200, 5))

    assert found.reason is None
    assert {"share_repeat", "share_outlier", "shift_p", "shift_distance"} <= set(found.numbers())
    assert found.numbers()["shift_p"] < 0.01


def test_copies_of_a_few_images_are_unfit_whatever_their_shift(tiny: Bundle[ModelManifest]) -> None:
    reason = screened(tiny, np.tile(shifted(10, 5), (20, 1, 1, 1))).reason

    assert reason is not None
    assert reason.code == ReasonCode.BATCH_UNFIT
    assert "190 repeat another one" in reason.text


def test_a_single_picture_that_is_far_off_is_left_out(tiny: Bundle[ModelManifest]) -> None:
    images = shifted(200, 5)
    images[7] = 40.0 * (images[7] - 0.5)

    assert 7 not in screened(tiny, images).rows
    assert len(screened(tiny, images).rows) > 190


def test_a_fingerprint_without_outcomes_still_finds_faults_and_asks_nothing_else(tiny: Bundle[ModelManifest]) -> None:
    known = replace(tiny_task(tiny, source(20, 5)).fingerprint, outcome=None)

    found = screened(tiny, source(200, 5), known)

    assert (found.reason, found.shift, found.prior) == (None, None, None)
    assert "share_repeat" in found.numbers()
