"""What the gate decides about a candidate, and why."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Decision(StrEnum):
    """What happens to a candidate."""

    PROMOTE = "promote"
    HOLD = "hold"
    REJECT = "reject"


class ReasonCode(StrEnum):
    """Why; a closed set, so that dashboards can count it."""

    LOSS_FALLS = "loss_falls"
    LABELS_HELP = "labels_help"
    NOTHING_TO_CORRECT = "nothing_to_correct"
    LABEL_SHIFT = "label_shift"
    BATCH_UNFIT = "batch_unfit"
    NOT_SURE_ENOUGH = "not_sure_enough"
    CHAMPION_AS_GOOD = "champion_as_good"
    LOSS_RISES = "loss_rises"
    LABELS_HARM = "labels_harm"
    PREDICTIONS_COLLAPSED = "predictions_collapsed"
    SOURCE_LOST = "source_lost"
    ANSWERS_UNSURE = "answers_unsure"
    FORECAST_FALLS = "forecast_falls"
    DOMAIN_CHANGED = "domain_changed"
    EVIDENCE_MISSING = "evidence_missing"


class Reason(BaseModel):
    """One reason, for machines and for people."""

    model_config = ConfigDict(frozen=True)

    code: ReasonCode
    text: str


class Forecast(BaseModel):
    """Expected change of accuracy, in percentage points, with a 90 % interval."""

    model_config = ConfigDict(frozen=True)

    gain: float
    low: float
    high: float


class Verdict(BaseModel):
    """The gate's answer: decision, reasons, every number it looked at, and the forecast if there is one."""

    # "constants": a number that came out infinite must be readable as such afterwards.
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    decision: Decision
    reasons: tuple[Reason, ...]
    numbers: dict[str, float]
    forecast: Forecast | None = None
