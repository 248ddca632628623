"""From what was measured of the judge part to the case that `decide` decides, with a forecast.

The judge part is seen behind nothing, behind the candidate and behind the champion; each comparison has the candidate
as its later side. Labels come in here and nowhere before.
"""

from dataclasses import dataclass

from service.contract.fingerprint import Fingerprint
from service.contract.manifest import ModelManifest
from service.contract.verdict import Forecast
from trainer.gate.decide import Case
from trainer.gate.evidence import Evidence, gather
from trainer.gate.forecast import forecast, signals_of
from trainer.gate.keeping import Keeping
from trainer.gate.labels import Classes
from trainer.gate.reweighting import Reweighting
from trainer.gate.screen import Screening
from trainer.measure import Measured

NO_FORECAST = "a forecast of accuracy, which rests on sure answers: the method asks for these itself"


@dataclass(frozen=True)
class Judged:
    """The same images behind each that could be served.

    Attributes:
        candidate: the very `identity` if the fit came out without a stage.
        champion: None where the identity is served.
    """

    identity: Measured
    candidate: Measured
    champion: Measured | None


def case_of(
    judged: Judged,
    labels: Classes | None,
    fingerprint: Fingerprint,
    manifest: ModelManifest,
    screening: Screening,
    reweighting: Reweighting | None = None,
    keeping: Keeping | None = None,
    *,
    seed: int,
    fits_answers: bool = False,
) -> Case:
    """All that a verdict rests on.

    Args:
        labels: of the judge part, (n,), UNKNOWN where an image has none.
        fingerprint: the one that was fitted to, re-weighted if it was.
        fits_answers: whether the candidate was fitted to give sure answers. A forecast rests on how sure they are, and
            is no evidence then.
    """

    def against(baseline: Measured) -> Evidence:
        return gather(
            baseline,
            judged.candidate,
            fingerprint,
            manifest.reserved_taps(),
            scores=manifest.output.scores,
            seed=seed,
            labels=labels,
        )

    against_identity = against(judged.identity)
    return Case(
        against_identity=against_identity,
        against_champion=None if judged.champion is None else against(judged.champion),
        missing=(*fingerprint.missing(), *((NO_FORECAST,) if fits_answers else ())),
        is_identity=judged.candidate is judged.identity,
        screening=screening,
        forecast=None if fits_answers else _forecast(against_identity, fingerprint),
        reweighting={} if reweighting is None else reweighting.numbers(),
        keeping=keeping,
    )


def _forecast(e: Evidence, fingerprint: Fingerprint) -> Forecast | None:
    """What the candidate does to accuracy; None where nothing was calibrated, or what it rests on is no number."""
    if fingerprint.forecast is None or e.outcome_before is None or e.outcome_after is None:
        return None
    before = signals_of(e.outcome_before, loss=e.loss_before, reference=e.reference)
    after = signals_of(e.outcome_after, loss=e.loss_after, reference=e.reference)
    return forecast(fingerprint.forecast, before, after)
