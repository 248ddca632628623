"""The verdict follows from the evidence by a fixed table; the evidence follows from the images by arithmetic."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.contract.fingerprint import Fingerprint, ReferenceLoss, TapStatistics
from service.contract.job import UNKNOWN
from service.contract.statistics import ImageMoments
from service.contract.verdict import Decision, Forecast, ReasonCode
from trainer.gate.decide import Case, decide
from trainer.gate.evidence import Evidence, gather
from trainer.gate.keeping import Keeping
from trainer.gate.labels import compare_on_labels
from trainer.gate.outcome import OutcomeSignals
from trainer.gate.sanity import Fault, Sanity
from trainer.gate.screen import Screening
from trainer.measure import Measured

GOOD = Evidence(
    images=100,
    loss_before=1.0,
    loss_after=0.1,
    ratio_high=0.2,
    reference=0.01,
    reference_high=0.02,
    share_before=0.4,
    share_after=0.4,
    classes_before=4.0,
    classes_after=4.0,
)
"""A candidate that every rule lets pass."""

NO_REFERENCE = replace(GOOD, reference=None, reference_high=None)
UP = 1e-9
"""A hair above; losses and shares here are of order 1."""

PROMOTE = (Decision.PROMOTE, ReasonCode.LOSS_FALLS)
NOTHING = (Decision.HOLD, ReasonCode.NOTHING_TO_CORRECT)
RISES = (Decision.REJECT, ReasonCode.LOSS_RISES)
COLLAPSED = (Decision.REJECT, ReasonCode.PREDICTIONS_COLLAPSED)
FALLS = (Decision.HOLD, ReasonCode.FORECAST_FALLS)
STRAYED = (Decision.HOLD, ReasonCode.ANSWERS_UNSURE)
UNSURE = (Decision.HOLD, ReasonCode.NOT_SURE_ENOUGH)
AS_GOOD = (Decision.HOLD, ReasonCode.CHAMPION_AS_GOOD)


def case(evidence: Evidence, champion: Evidence | None = None, *, is_identity: bool = False) -> Case:
    return Case(evidence, champion, missing=(), is_identity=is_identity)


def forecast(gain: float, low: float, high: float, evidence: Evidence = GOOD, champion: Evidence | None = None) -> Case:
    """The case of a calibrated gate."""
    return replace(case(evidence, champion), forecast=Forecast(gain=gain, low=low, high=high))


def unsure(entropy_gap: float | None) -> Evidence:
    """A model of ten classes whose answers have so many nats more than on source images."""
    return replace(GOOD, outputs=10, outcome_after=OutcomeSignals(0.9, 0.1, 0.9, 0.9, entropy_gap=entropy_gap))


def left(nuclear_ratio: float | None) -> Evidence:
    """Much of the loss is left, and the model's answers are spread and sure to this degree."""
    signals = OutcomeSignals(0.9, 0.1, 0.9, 0.9, nuclear_ratio=nuclear_ratio)
    return replace(GOOD, loss_after=0.5, outcome_after=signals)


def against(ratio_high: float) -> Evidence:
    return replace(GOOD, ratio_high=ratio_high)


TABLE = {
    "a clear gain": (case(GOOD), PROMOTE),
    "a clear gain without reference": (case(NO_REFERENCE), PROMOTE),
    # 1. Is there anything to correct?
    "shifted, and no stage helps": (case(GOOD, is_identity=True), UNSURE),
    "no stage helps, and nobody knows whether it is shifted": (case(NO_REFERENCE, is_identity=True), UNSURE),
    "as close as a clean batch, and no stage": (case(replace(GOOD, loss_before=0.02), is_identity=True), NOTHING),
    "as close as a clean batch": (case(replace(GOOD, loss_before=0.02, loss_after=0.001)), NOTHING),
    "a hair further than a clean batch": (case(replace(GOOD, loss_before=0.02 + UP, loss_after=0.001)), PROMOTE),
    "as close as a clean batch and made worse": (case(replace(GOOD, loss_before=0.02, loss_after=0.9)), NOTHING),
    # 2. Does the candidate do harm?
    "the loss rises": (case(replace(GOOD, loss_after=1.5)), RISES),
    "the loss stays": (case(replace(GOOD, loss_after=1.0)), RISES),
    "the loss becomes infinite": (case(replace(GOOD, loss_after=float("inf"))), RISES),
    "the loss falls by a hair": (case(replace(GOOD, loss_after=1.0 - UP)), UNSURE),
    "the loss rises and predictions collapse": (case(replace(GOOD, loss_after=1.5, share_after=1.0)), RISES),
    "one class gains 30 points": (case(replace(GOOD, share_before=0.5, share_after=0.5 + 0.3)), PROMOTE),
    "one class gains a hair more": (case(replace(GOOD, share_before=0.5, share_after=0.8 + UP)), COLLAPSED),
    "half of the classes are left": (case(replace(GOOD, classes_after=2.0)), PROMOTE),
    "a hair less than half of the classes is left": (case(replace(GOOD, classes_after=2.0 - UP)), COLLAPSED),
    "predictions were crowded before": (
        case(replace(GOOD, share_before=0.95, share_after=0.95, classes_before=1.2, classes_after=1.1)),
        PROMOTE,
    ),
    "predictions spread out": (case(replace(GOOD, share_after=0.1, classes_after=9.0)), PROMOTE),
    "predictions collapse and the gain is unsure": (case(replace(GOOD, share_after=1.0, ratio_high=1.2)), COLLAPSED),
    # 3. Does it help for sure?
    "the ratio's bound is 1": (case(replace(GOOD, ratio_high=1.0)), UNSURE),
    "the ratio's bound is a hair below 1": (case(replace(GOOD, ratio_high=1.0 - UP)), PROMOTE),
    "a fall of 20 percent": (case(replace(GOOD, loss_after=0.8, reference_high=0.1)), PROMOTE),
    "a fall of a hair less": (case(replace(GOOD, loss_after=0.8 + UP, reference_high=0.1)), UNSURE),
    "a fall of 50 percent without reference": (case(replace(NO_REFERENCE, loss_after=0.5)), PROMOTE),
    "a fall of a hair less without reference": (case(replace(NO_REFERENCE, loss_after=0.5 + UP)), UNSURE),
    # 4. Is what remains small in itself?
    "8 times a clean batch remains": (case(replace(GOOD, loss_after=8 * 0.02)), PROMOTE),
    "a hair more remains": (case(replace(GOOD, loss_after=8 * 0.02 + UP)), UNSURE),
    "much remains, and nobody knows of how little": (
        case(replace(NO_REFERENCE, loss_before=99.0, loss_after=9.0)),
        PROMOTE,
    ),
    # 5. What does a calibrated gate forecast?
    "much remains, and 5 points are promised": (forecast(20, 5, 30, left(0.85)), PROMOTE),
    "much remains, and a hair less is promised": (forecast(20, 5 - UP, 30, left(0.85)), UNSURE),
    "much remains, much is promised, and the model is unsure": (forecast(60, 50, 70, left(0.85 - UP)), UNSURE),
    "much remains, much is promised, and nobody knows how sure": (forecast(60, 50, 70, left(None)), UNSURE),
    "answers are as unsure as may be": (case(unsure(0.2 * np.log(10))), PROMOTE),
    "answers are a hair less sure": (case(unsure(0.2 * np.log(10) + UP)), STRAYED),
    "answers are unsure and much is promised": (forecast(60, 50, 70, unsure(1.0)), STRAYED),
    "answers are unsure, and how sure they were at the source is not known": (case(unsure(None)), PROMOTE),
    "a promise does not make a loss fall": (forecast(20, 9, 30, replace(GOOD, loss_after=1.1)), RISES),
    "a forecast of a point less": (forecast(-1, -2, 3), FALLS),
    "a forecast of a hair above that": (forecast(-1 + UP, -2, 3), PROMOTE),
    "a forecast of nothing": (forecast(0, -2, 3), PROMOTE),
    "a forecast of less than with the champion as good": (forecast(-1, -2, 3, GOOD, against(1.0)), FALLS),
    # 6. Does it beat what is served?
    "the champion is beaten": (case(GOOD, against(0.9)), PROMOTE),
    "the champion is beaten by more than a fiftieth": (case(GOOD, against(0.98 - UP)), PROMOTE),
    "the champion is beaten by a hair": (case(GOOD, against(1.0 - UP)), AS_GOOD),
    "the champion is as good": (case(GOOD, against(1.0)), AS_GOOD),
    "the champion is better": (case(GOOD, against(1.3)), AS_GOOD),
    "the champion is better and the gain is unsure": (case(replace(GOOD, ratio_high=1.1), against(1.3)), UNSURE),
    "the champion is worse and so is the candidate": (case(replace(GOOD, loss_after=1.2), against(0.5)), RISES),
    "the champion serves where nothing is to correct": (case(replace(GOOD, loss_before=0.02), against(0.5)), NOTHING),
    "no stage helps, and the champion is worse than none": (case(GOOD, against(0.5), is_identity=True), UNSURE),
}


@pytest.mark.parametrize(("judged", "expected"), TABLE.values(), ids=TABLE)
def test_rules(judged: Case, expected: tuple[Decision, ReasonCode]) -> None:
    verdict = decide(judged)

    assert expected == (verdict.decision, verdict.reasons[0].code)
    assert len(verdict.reasons) == 1
    assert verdict.reasons[0].text


@pytest.mark.parametrize(
    ("images", "gain", "expected"),
    [(11, 0.5 - UP, UNSURE), (11, 0.5, PROMOTE), (12, 0.0, PROMOTE), (100, 0.0, PROMOTE)],
)
def test_of_few_judged_images_a_correction_must_be_promised_to_gain(images, gain, expected) -> None:
    verdict = decide(forecast(gain, gain - 1.0, gain + 1.0, replace(GOOD, images=images)))

    assert (verdict.decision, verdict.reasons[0].code) == expected


def test_a_promise_that_is_broken_rejects_and_one_that_is_kept_changes_nothing() -> None:
    plain, broken, kept, unpromised = (
        decide(replace(case(GOOD), keeping=keeping))
        for keeping in (None, Keeping(200, 0.985, True), Keeping(200, 0.99, True), Keeping(200, 0.5, False))
    )

    assert plain.decision == kept.decision == unpromised.decision == Decision.PROMOTE
    assert (broken.decision, broken.reasons[0].code) == (Decision.REJECT, ReasonCode.SOURCE_LOST)
    assert "1.5%" in broken.reasons[0].text
    assert kept.numbers["source_agreement"] == 0.99
    assert "source_agreement" not in plain.numbers


def test_few_judged_images_are_enough_where_nothing_is_forecast() -> None:
    assert decide(case(replace(GOOD, images=4))).decision is Decision.PROMOTE


def test_a_verdict_carries_its_forecast_and_says_it() -> None:
    verdict = decide(forecast(12.34, 5.6, 20.0))

    assert verdict.forecast == Forecast(gain=12.34, low=5.6, high=20.0)
    assert "+12.3 points (+5.6 to +20.0)" in verdict.reasons[0].text


# Labels.

HELP, HARM = (Decision.PROMOTE, ReasonCode.LABELS_HELP), (Decision.REJECT, ReasonCode.LABELS_HARM)
DOUBTFUL = replace(GOOD, ratio_high=1.2)


def labelled(evidence: Evidence, helped: int, harmed: int, images: int = 60) -> Evidence:
    """The same, and so many of the labelled images that the candidate alone, or the baseline alone, gets right."""
    truth, baseline, candidate = np.zeros(images, int), np.zeros(images, int), np.zeros(images, int)
    baseline[:helped], candidate[helped : helped + harmed] = 1, 1
    return replace(evidence, labels=compare_on_labels(truth, baseline, candidate))


# One-sided chances of n against none: 1/128 of 7 and 1/64 of 6; 1/32 of 5 and 1/16 of 4.
BY_LABELS = {
    "no difference on labels": (case(labelled(GOOD, 0, 0)), PROMOTE),
    "five broken": (case(labelled(GOOD, 0, 5)), HARM),
    "four broken": (case(labelled(GOOD, 0, 4)), PROMOTE),
    "five broken of too few labels": (case(labelled(GOOD, 0, 5, images=29)), PROMOTE),
    "five broken of just enough labels": (case(labelled(GOOD, 0, 5, images=30)), HARM),
    "a doubt, and seven mended": (case(labelled(DOUBTFUL, 7, 0)), HELP),
    "a doubt, and six mended": (case(labelled(DOUBTFUL, 6, 0)), UNSURE),
    "a doubt, and seven mended of too few labels": (case(labelled(DOUBTFUL, 7, 0, images=29)), UNSURE),
    "a doubt, and as many broken as mended": (case(labelled(DOUBTFUL, 20, 20)), UNSURE),
    "as close as a clean batch, and seven mended": (case(labelled(replace(GOOD, loss_before=0.02), 7, 0)), HELP),
    "the loss rises, and seven mended": (case(labelled(replace(GOOD, loss_after=1.5), 7, 0)), RISES),
    "predictions collapse, and seven mended": (case(labelled(replace(GOOD, share_after=1.0), 7, 0)), COLLAPSED),
    "no stage, whatever labels say": (case(labelled(GOOD, 7, 0), is_identity=True), UNSURE),
    "the champion is beaten, but not on labels": (case(labelled(GOOD, 9, 0), labelled(against(0.5), 0, 5)), AS_GOOD),
    "the champion is as good, but not on labels": (case(labelled(GOOD, 9, 0), labelled(against(1.0), 7, 0)), HELP),
    "seven mended, of them six by the champion": (case(labelled(GOOD, 7, 0), labelled(against(1.0), 1, 0)), AS_GOOD),
    "better than a harmful champion, and harm": (case(labelled(GOOD, 0, 5), labelled(against(1.0), 9, 0)), HARM),
    "better than the champion, not than nothing": (case(labelled(DOUBTFUL, 2, 0), labelled(GOOD, 9, 0)), UNSURE),
}


@pytest.mark.parametrize(("judged", "expected"), BY_LABELS.values(), ids=BY_LABELS)
def test_enough_labels_have_the_last_word(judged: Case, expected: tuple[Decision, ReasonCode]) -> None:
    verdict = decide(judged)

    assert expected == (verdict.decision, verdict.reasons[0].code)


def test_an_unfit_batch_is_not_promoted_by_its_labels() -> None:
    repeats = Sanity(100, np.arange(3), {**dict.fromkeys(Fault, np.arange(0)), Fault.REPEAT: np.arange(3, 100)})
    judged = replace(case(labelled(GOOD, 40, 0)), screening=Screening(repeats))

    assert decide(judged).reasons[0].code == ReasonCode.BATCH_UNFIT


def test_a_promotion_by_labels_says_what_was_against_it_and_how_many_there_were() -> None:
    reason = decide(case(labelled(DOUBTFUL, 10, 1))).reasons[0]

    assert "of 60 labelled images the candidate alone gets 10 right and 1 wrong" in reason.text
    assert "without labels: loss on reserved taps falls from 1 to 0.1, 95 % bound of the ratio 1.20" in reason.text


@pytest.mark.parametrize(
    "name",
    [
        "loss_before",
        "loss_after",
        "ratio_high",
        "share_after",
        "classes_after",
    ],
)
def test_evidence_that_is_not_a_number_promotes_nothing(name: str) -> None:
    assert decide(case(replace(GOOD, **{name: float("nan")}))).decision is not Decision.PROMOTE


def test_a_champion_compared_by_no_number_keeps_its_place() -> None:
    assert decide(case(GOOD, against(float("nan")))).reasons[0].code == ReasonCode.CHAMPION_AS_GOOD


@pytest.mark.parametrize("is_identity", [False, True], ids=["promoted", "held"])
def test_what_the_fingerprint_lacks_follows_the_reason(*, is_identity: bool) -> None:
    judged = Case(NO_REFERENCE, None, missing=("clean batches", "classes"), is_identity=is_identity)

    first, *others = decide(judged).reasons

    assert first.code != ReasonCode.EVIDENCE_MISSING
    assert [(ReasonCode.EVIDENCE_MISSING, word) for word in ("clean batches", "classes")] == [
        (reason.code, reason.text.removeprefix("not available: ")) for reason in others
    ]


def test_the_verdict_carries_every_number_and_leaves_out_what_is_unknown() -> None:
    verdict = decide(case(NO_REFERENCE, replace(GOOD, loss_before=0.3)))

    own = {name: value for name, value in vars(NO_REFERENCE).items() if value is not None}
    champion = {f"champion_{name}": value for name, value in vars(GOOD).items() if value is not None}
    champion["champion_loss_before"] = 0.3
    assert own | champion == verdict.numbers


# Evidence.

UNIT = np.array([1.0])
SOURCE = TapStatistics(mean=np.array([0.0]), var=UNIT, class_first=np.zeros((0, 1)), class_second=np.zeros((0, 1)))
REFERENCE = ReferenceLoss(np.array([4.0, 16.0]), np.full((2, 2), 9.0), np.array([[0.4, 0.8], [0.1, 0.2]]))
PRINT = Fingerprint("0" * 64, "full", {"judged": SOURCE, "fitted": SOURCE}, reference=REFERENCE)


def measured(means: list[float], classes: list[int], variances: list[float] | None = None) -> Measured:
    """Images with these means, and variances (1 by default), at the reserved tap, and nonsense at the fitted one."""
    first = np.array(means)[:, None]
    second = np.square(first) + np.array(variances or [1.0] * len(means))[:, None]
    nonsense = ImageMoments(first + 1e6, second + 1e15)
    scores = np.eye(4, dtype=np.float32)[classes]
    return Measured({"judged": ImageMoments(first, second), "fitted": nonsense}, scores)


def compare(baseline: Measured, candidate: Measured, seed: int = 0, fingerprint: Fingerprint = PRINT) -> Evidence:
    return gather(baseline, candidate, fingerprint, ["judged"], scores="logits", seed=seed)


def test_losses_ratio_and_reference_are_those_of_a_hand_calculation() -> None:
    evidence = compare(measured([2.0] * 4, [0, 1, 2, 3]), measured([1.0] * 4, [0, 0, 0, 1]))

    # All images alike, variance as the source's: the loss is the squared mean, and so in every resample.
    assert evidence.images == 4
    assert (evidence.loss_before, evidence.loss_after) == pytest.approx((4.0, 1.0))
    assert evidence.ratio_high == pytest.approx(0.25)
    assert (evidence.reference, evidence.reference_high) == pytest.approx((0.4, 0.8))


def test_variance_between_images_and_within_them_counts() -> None:
    evidence = compare(measured([0.0, 0.0], [0, 0], [9.0, 9.0]), measured([-1.0, 1.0], [0, 0], [0.5, 1.5]))

    # (log 3)^2 from standard deviation 3; then 1 between and 1 within images, together standard deviation sqrt(2).
    assert evidence.loss_before == pytest.approx(np.log(3) ** 2)
    assert evidence.loss_after == pytest.approx(np.log(np.sqrt(2)) ** 2)


def test_labels_are_compared_where_there_are_any() -> None:
    baseline, candidate = (measured([1.0] * 4, classes) for classes in ([0, 1, 2, 3], [0, 1, 1, 1]))
    known, none = np.array([UNKNOWN, 1, 1, 3]), np.full(4, UNKNOWN)

    found, nothing = (
        gather(baseline, candidate, PRINT, ["judged"], scores="logits", seed=0, labels=labels)
        for labels in (known, none)
    )

    assert found.labels is not None
    assert (found.labels.images, found.labels.helped, found.labels.harmed) == (3, 1, 1)
    assert found.numbers("champion_")["champion_labels_helped"] == 1.0
    assert nothing.labels is None


def test_outcome_signals_of_both_sides_are_among_the_numbers() -> None:
    evidence = compare(measured([1.0] * 4, [0, 1, 2, 3]), measured([1.0] * 4, [0, 1, 1, 1]))

    numbers = evidence.numbers()
    # Softmax of one 1 among four: e / (e + 3).
    assert numbers["outcome_before_confidence"] == pytest.approx(np.e / (np.e + 3))
    assert numbers["outcome_before_marginal_entropy"] == pytest.approx(1.0)
    assert numbers["outcome_after_marginal_entropy"] < 1.0
    assert numbers["outcome_after_kept_predictions"] == 0.5
    assert "outcome_before_kept_predictions" not in numbers


def test_scores_that_are_no_numbers_have_no_signals() -> None:
    sound = measured([1.0] * 4, [0, 1, 2, 3])
    broken = Measured(sound.moments, np.full((4, 4), np.nan, dtype=np.float32))

    evidence = compare(sound, broken)

    assert evidence.outcome_before is not None
    assert evidence.outcome_after is None


def test_class_shares_are_counted() -> None:
    evidence = compare(measured([1.0] * 4, [0, 1, 2, 3]), measured([1.0] * 4, [2, 2, 2, 1]))

    assert (evidence.share_before, evidence.share_after) == (0.25, 0.75)
    assert evidence.classes_before == pytest.approx(4.0)
    # exp of the entropy of 3/4 and 1/4.
    assert evidence.classes_after == pytest.approx((4 / 3) ** 0.75 * 4**0.25)


def test_one_class_alone_counts_as_one() -> None:
    assert compare(measured([1.0] * 3, [2, 2, 2]), measured([1.0] * 3, [1, 1, 1])).classes_after == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("images", "expected"),
    [(2, (0.4, 0.8)), (8, (0.2, 0.4)), (64, (0.1, 0.2))],
    ids=["fewer than in the table", "between: halfway in logarithms", "more than in the table"],
)
def test_reference_is_taken_for_the_number_of_images(images: int, expected: tuple[float, float]) -> None:
    some = measured([1.0] * images, [0] * images)

    evidence = compare(some, some)

    assert (evidence.reference, evidence.reference_high) == pytest.approx(expected)


def test_without_reference_losses_there_is_none() -> None:
    some = measured([1.0] * 4, [0] * 4)

    evidence = compare(some, some, fingerprint=replace(PRINT, reference=None))

    assert (evidence.reference, evidence.reference_high) == (None, None)


def test_the_ratios_bound_lies_above_the_ratio_and_grows_with_the_spread() -> None:
    draw = np.random.default_rng(0)
    offsets = draw.normal(size=60)
    baseline = measured([2.0] * 60, [0] * 60)

    narrow, wide = (compare(baseline, measured(list(1 + s * offsets), [0] * 60)) for s in (0.1, 0.5))

    for evidence in (narrow, wide):
        assert evidence.ratio_high > evidence.loss_after / evidence.loss_before
    margins = [evidence.ratio_high - evidence.loss_after / evidence.loss_before for evidence in (narrow, wide)]
    assert margins[0] < margins[1]


def test_the_ratios_bound_is_a_95_percent_quantile() -> None:
    # Mean m over n images with standard deviation s; the loss is about m^2, so the ratio's quantile is that of the
    # resampled mean: (m + 1.645 s / sqrt(n))^2 / 4.
    offsets = np.random.default_rng(0).normal(size=400)
    means = 1.0 + 0.2 * (offsets - offsets.mean()) / offsets.std()
    candidate = measured(list(means), [0] * 400, [1 - 0.04] * 400)
    baseline = measured([2.0] * 400, [0] * 400)

    bounds = [compare(baseline, candidate, seed).ratio_high for seed in range(5)]

    # The quantile of 200 resamples has a standard error of about 0.15 of the mean's: 0.0015 * 2 / 4; five seeds.
    assert np.mean(bounds) == pytest.approx((1 + 1.645 * 0.2 / 20) ** 2 / 4, abs=0.002)


def test_the_same_seed_gives_the_same_evidence_and_another_one_another_bound() -> None:
    draw = np.random.default_rng(1)
    baseline, candidate = (measured(list(draw.normal(m, 0.5, 30)), [0] * 30) for m in (2.0, 1.0))

    first, again, other = (compare(baseline, candidate, seed) for seed in (0, 0, 1))

    assert first == again
    assert first.ratio_high != other.ratio_high
    assert replace(first, ratio_high=0) == replace(other, ratio_high=0)


rows = st.lists(st.tuples(st.floats(0.5, 5), st.integers(0, 3)), min_size=2, max_size=12)


@settings(deadline=None, max_examples=40)
@given(rows=rows, seed=st.integers(0, 2**32), has_reference=st.booleans())
def test_identical_baseline_and_candidate_never_promote(
    rows: list[tuple[float, int]], seed: int, *, has_reference: bool
) -> None:
    same = measured([mean for mean, _ in rows], [label for _, label in rows])
    fingerprint = PRINT if has_reference else replace(PRINT, reference=None)

    evidence = compare(same, same, seed, fingerprint)

    assert evidence.loss_before == evidence.loss_after
    assert decide(case(evidence)).decision is not Decision.PROMOTE
    # A champion that the candidate repeats keeps its place.
    assert decide(case(GOOD, evidence)).reasons[0].code == ReasonCode.CHAMPION_AS_GOOD


def test_a_copy_of_a_perfect_champion_does_not_replace_it() -> None:
    perfect = measured([0.0] * 4, [0] * 4)

    assert decide(case(GOOD, compare(perfect, perfect))).reasons[0].code == ReasonCode.CHAMPION_AS_GOOD


@pytest.mark.parametrize(
    "worsen", [lambda m: 2 * m, lambda m: m + 0.5, lambda m: -3 * m], ids=["double", "add", "flip"]
)
def test_a_candidate_that_moves_away_is_rejected(worsen: Callable[[float], float]) -> None:
    means = [2.0, 2.1, 1.9, 2.2]

    evidence = compare(measured(means, [0] * 4), measured([worsen(m) for m in means], [0] * 4))

    assert decide(case(evidence)).reasons[0].code == ReasonCode.LOSS_RISES
