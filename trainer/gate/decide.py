"""From evidence to verdict: a few rules in a fixed order, each with its reason.

The order is that of what an operator wants to know: is there anything to correct, does the candidate do harm, does it
help for sure, does it beat what is served already. Labels, where there are enough, have the last word on a candidate:
they may turn any verdict into less, and a `hold` into `promote`. What was rejected, or not fitted at all, stays so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import log

from service.contract.verdict import Decision, Forecast, Reason, ReasonCode, Verdict
from trainer.gate.evidence import Evidence
from trainer.gate.keeping import Keeping
from trainer.gate.labels import LabelEvidence
from trainer.gate.screen import Screening

LEAST_FALL = 0.20
"""The loss on reserved taps must fall by this share; less may be the corrector's own noise."""
CAREFUL_FALL = 0.50
"""The same where there is no clean-batch reference to tell a shift from chance."""
LEAST_GAIN = 0.02
"""A candidate's loss must lie this share below the champion's, for sure: a champion fitted again is no better one."""
MOST_REMAINING = 8.0
"""The loss that is left may be this many times that of a clean batch. Above it, corrections that looked better on the
statistics were seen to classify at chance: see docs/decisions/0004-an-absolute-ceiling.md."""
MOST_EXTRA_SHARE = 0.30
"""How much more frequent the most frequent class may become before predictions count as collapsed."""
LEAST_CLASSES = 0.5
"""Effective number of predicted classes after, as a share of before, under which they count as collapsed."""
SURE_GAIN = 5.0
"""Points that a forecast must promise at the least for a correction that leaves more than that."""
LEAST_NUCLEAR = 0.85
"""Nuclear norm of the class probabilities, over that of source batches, that such a correction must come to as well."""
MOST_SOURCE_LOST = 0.01
"""Share of source images that may be answered otherwise, behind a corrector that is to leave them alone."""
MOST_UNSURE = 0.2
"""Entropy of the answers behind a candidate, over that on source images, as a share of the largest possible, log K. Of
calibration kinds on the models' own sources no promoted correction had more than .17; of noise and empty pictures alone
.25 to .42, whatever the losses and a forecast said."""
LIKELY_LOSS = 1.0
"""Points; a correction whose forecast is a fall of accuracy by that much is held, whatever the loss says."""
FEWEST_JUDGED = 12
"""Images of the judge part, of some 48 posted, below which a correction must be promised to gain something. Few clean
images may look shifted: a corrector fitted to 16 cost MNIST four points, which none of the four that judged showed."""
SOME_GAIN = 0.5
"""Points that such a promise must have."""
FEWEST_LABELS = 30
"""Labelled images of the judge part below which labels decide nothing. A quarter of what is posted judges."""
HARM_CHANCE, HELP_CHANCE = 0.05, 0.01
"""Of the exact test on labels. To hold back a candidate that is as good costs little; to promote against the other
evidence must be surer: seven images that the candidate alone gets right, with none against it, are enough."""


@dataclass(frozen=True)
class Case:
    """What is judged.

    Attributes:
        against_identity: the candidate against no correction.
        against_champion: the candidate against what is served, None where that is the identity.
        missing: what the fingerprint cannot do, in words.
        is_identity: the fit came out without a stage.
        screening: what the batch showed before the fit.
        forecast: of what the candidate does to accuracy, None where the gate was not calibrated.
        reweighting: numbers of class frequencies that the source was re-weighted to, empty where it was not.
        keeping: what the candidate does to source images, None where none are kept.
    """

    against_identity: Evidence
    against_champion: Evidence | None
    missing: tuple[str, ...]
    is_identity: bool
    screening: Screening | None = None
    forecast: Forecast | None = None
    reweighting: Mapping[str, float] = field(default_factory=dict)
    keeping: Keeping | None = None


Ruling = tuple[Decision, Reason]


def decide(case: Case) -> Verdict:
    """The verdict on a case."""
    decision, reason = _by_labels(case, *_rule(case))
    reasons = [reason, *(Reason(code=ReasonCode.EVIDENCE_MISSING, text=f"not available: {m}") for m in case.missing)]
    numbers = case.against_identity.numbers() | dict(case.reweighting)
    if case.screening is not None:
        numbers |= case.screening.numbers()
    if case.keeping is not None:
        numbers |= case.keeping.numbers()
    if case.against_champion is not None:
        numbers |= case.against_champion.numbers("champion_")
    return Verdict(decision=decision, reasons=tuple(reasons), numbers=numbers, forecast=case.forecast)


def _rule(case: Case) -> Ruling:
    """What the first rule that has an opinion says; the last one always has."""
    return next(ruling for rule in RULES if (ruling := rule(case)) is not None)


def _screened(case: Case) -> Ruling | None:
    if case.screening is None or case.screening.reason is None:
        return None
    return Decision.HOLD, case.screening.reason


def _looks_clean(case: Case) -> Ruling | None:
    e = case.against_identity
    if e.reference_high is None or e.loss_before > e.reference_high:
        return None
    text = f"loss on reserved taps is {e.loss_before:.4g} without correction, as for clean source batches"
    if case.screening is not None and case.screening.shift is not None:
        text += f"; {case.screening.shift.words}"
    return _hold(ReasonCode.NOTHING_TO_CORRECT, text)


def _not_fitted(case: Case) -> Ruling | None:
    if not case.is_identity:
        return None
    loss = case.against_identity.loss_before
    return _hold(
        ReasonCode.NOT_SURE_ENOUGH,
        f"no corrector brought the loss on reserved taps, {loss:.4g}, down by more than chance",
    )


# From here on conditions are stated as what must hold: a number that is not one fails them.


def _rises(case: Case) -> Ruling | None:
    e = case.against_identity
    if e.loss_after < e.loss_before:
        return None
    text = f"loss on reserved taps rises from {e.loss_before:.4g} to {e.loss_after:.4g}"
    return Decision.REJECT, Reason(code=ReasonCode.LOSS_RISES, text=text)


def _collapses(case: Case) -> Ruling | None:
    """Predictions crowd into few classes that were spread before.

    A shifted batch is often crowded before correction already; what counts is that it gets worse.
    """
    e = case.against_identity
    spread = e.share_after <= e.share_before + MOST_EXTRA_SHARE
    if spread and e.classes_after >= LEAST_CLASSES * e.classes_before:
        return None
    text = (
        f"predictions collapse: the most frequent class goes from {e.share_before:.0%} to {e.share_after:.0%}, "
        f"the effective number of classes from {e.classes_before:.1f} to {e.classes_after:.1f}"
    )
    return Decision.REJECT, Reason(code=ReasonCode.PREDICTIONS_COLLAPSED, text=text)


def _loses_source(case: Case) -> Ruling | None:
    keeping = case.keeping
    # One image of few is no more than chance.
    allowed = 1.0 if keeping is None else max(1.0, MOST_SOURCE_LOST * keeping.images)
    if keeping is None or not keeping.is_promised or keeping.lost <= allowed:
        return None
    text = (
        f"of {keeping.images} source images that no fit has seen {1 - keeping.agreement:.1%} are answered otherwise "
        f"than without a correction; at most {MOST_SOURCE_LOST:.0%} may be"
    )
    return Decision.REJECT, Reason(code=ReasonCode.SOURCE_LOST, text=text)


def _unsure(case: Case) -> Ruling | None:
    e = case.against_identity
    fall = LEAST_FALL if e.reference is not None else CAREFUL_FALL
    if e.ratio_high < 1.0 and e.loss_after <= (1.0 - fall) * e.loss_before:
        return None
    text = (
        f"loss on reserved taps falls from {e.loss_before:.4g} to {e.loss_after:.4g}, 95 % bound of the ratio "
        f"{e.ratio_high:.2f}; needed: below 1, and a fall of {fall:.0%}"
    )
    return _hold(ReasonCode.NOT_SURE_ENOUGH, text)


def _answers_unsure(case: Case) -> Ruling | None:
    after, outputs = case.against_identity.outcome_after, case.against_identity.outputs
    if after is None or after.entropy_gap is None or outputs is None:
        return None
    if after.entropy_gap <= MOST_UNSURE * log(max(outputs, 2)):
        return None
    text = (
        f"behind the candidate the model is unsure: its answers have {after.entropy_gap:.2f} nats more entropy than on "
        f"source images; at most {MOST_UNSURE * log(max(outputs, 2)):.2f} pass{_forecast_in_words(case)}"
    )
    return _hold(ReasonCode.ANSWERS_UNSURE, text)


def _leaves_too_much(case: Case) -> Ruling | None:
    e = case.against_identity
    if e.reference_high is None or e.loss_after <= MOST_REMAINING * e.reference_high:
        return None
    if _is_vouched_for(case):
        return None
    text = (
        f"loss on reserved taps falls from {e.loss_before:.4g} to {e.loss_after:.4g}, still more than "
        f"{MOST_REMAINING:g} times the {e.reference_high:.4g} of clean source batches{_forecast_in_words(case)}"
    )
    return _hold(ReasonCode.NOT_SURE_ENOUGH, text)


def _is_vouched_for(case: Case) -> bool:
    """A forecast promises much, and the model answers nearly as on source images: of junk it may promise much alone."""
    after = case.against_identity.outcome_after
    if case.forecast is None or after is None or after.nuclear_ratio is None:
        return False
    return case.forecast.low >= SURE_GAIN and after.nuclear_ratio >= LEAST_NUCLEAR


def _forecast_falls(case: Case) -> Ruling | None:
    if case.forecast is None or case.forecast.gain > -LIKELY_LOSS:
        return None
    return _hold(ReasonCode.FORECAST_FALLS, f"the loss on reserved taps falls, but{_forecast_in_words(case)[1:]}")


def _promises_nothing(case: Case) -> Ruling | None:
    images = case.against_identity.images
    if case.forecast is None or images >= FEWEST_JUDGED or case.forecast.gain >= SOME_GAIN:
        return None
    text = f"the loss on reserved taps falls, but {images} judged images are few{_forecast_in_words(case)}"
    return _hold(ReasonCode.NOT_SURE_ENOUGH, text)


def _champion_as_good(case: Case) -> Ruling | None:
    champion = case.against_champion
    if champion is None or champion.ratio_high < 1.0 - LEAST_GAIN:
        return None
    text = (
        f"the champion's loss on reserved taps is {champion.loss_before:.4g}, "
        f"the candidate's {champion.loss_after:.4g}: not better for sure"
    )
    return _hold(ReasonCode.CHAMPION_AS_GOOD, text)


def _helps(case: Case) -> Ruling:
    e = case.against_identity
    text = (
        f"loss on reserved taps falls from {e.loss_before:.4g} to {e.loss_after:.4g} "
        f"(95 % bound of the ratio {e.ratio_high:.2f}){_forecast_in_words(case)}"
    )
    return Decision.PROMOTE, Reason(code=ReasonCode.LOSS_FALLS, text=text)


RULES: tuple[Callable[[Case], Ruling | None], ...] = (
    _screened,
    _looks_clean,
    _not_fitted,
    _rises,
    _collapses,
    _loses_source,
    _unsure,
    _answers_unsure,
    _leaves_too_much,
    _forecast_falls,
    _promises_nothing,
    _champion_as_good,
    _helps,
)
"""In the order in which they are asked."""


def _hold(code: ReasonCode, text: str) -> Ruling:
    return Decision.HOLD, Reason(code=code, text=text)


def _forecast_in_words(case: Case) -> str:
    if case.forecast is None:
        return ""
    points = case.forecast
    return f"; accuracy is forecast to change by {points.gain:+.1f} points ({points.low:+.1f} to {points.high:+.1f})"


def _by_labels(case: Case, decision: Decision, reason: Reason) -> Ruling:
    """The same, or what labels make of it."""
    champion, labels = case.against_champion, case.against_identity.labels
    served = labels if champion is None else champion.labels
    is_fitted = not case.is_identity and (case.screening is None or case.screening.reason is None)
    if not is_fitted or labels is None or served is None or labels.images < FEWEST_LABELS:
        return decision, reason
    if labels.harm_p <= HARM_CHANCE:
        text = f"{_counted(labels)} than no correction (p = {labels.harm_p:.2g})"
        return Decision.REJECT, Reason(code=ReasonCode.LABELS_HARM, text=text)
    if decision is Decision.PROMOTE and served.harm_p <= HARM_CHANCE:
        text = f"{_counted(served)} than the champion (p = {served.harm_p:.2g})"
        return Decision.HOLD, Reason(code=ReasonCode.CHAMPION_AS_GOOD, text=text)
    if decision is Decision.HOLD and max(labels.help_p, served.help_p) <= HELP_CHANCE:
        than = "no correction" if champion is None else "the champion, and than no correction"
        text = f"{_counted(served)} than {than} (p = {served.help_p:.2g}); without labels: {reason.text}"
        return Decision.PROMOTE, Reason(code=ReasonCode.LABELS_HELP, text=text)
    return decision, reason


def _counted(labels: LabelEvidence) -> str:
    return (
        f"of {labels.images} labelled images the candidate alone gets {labels.helped} right and {labels.harmed} wrong: "
        f"{'better' if labels.helped > labels.harmed else 'worse'}"
    )
