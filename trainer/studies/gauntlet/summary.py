"""From records to the numbers that decide: harm, what was missed, what was gained, and how long it took.

A job does *harm* if its candidate was promoted and is more than half a point worse than the identity. It *misses* a
benefit if its candidate gains more than two points and was not promoted, unless the batch is hostile: who holds that,
does right.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainer.shifts.kind import Answer, Use
from trainer.shifts.registry import KINDS, UNPOISONED
from trainer.studies.gauntlet.intervals import (
    Estimate,
    bootstrapped,
    mean,
    median,
    rank_correlation,
    share,
    slowest,
)
from trainer.studies.gauntlet.records import FAILED, TOLERANCE, Record

HARM = 0.5
"""Points below the identity above which a promotion counts as harm."""
BENEFIT = 2.0
"""Points above which a gain counts as one."""
ENOUGH = 64
"""Images from which on a helpful correction is expected to be accepted."""
LOST_TO_POISON = 2.0
"""Points that poison may cost against the fit without it."""


@dataclass(frozen=True)
class Summary:
    """Of some records; None where no record has what it takes. Shares are in percent, accuracies in points.

    Attributes:
        harm: of all jobs. worst: the lowest gain of a promoted candidate, 0 if none is below.
        missed: of the jobs, none of them hostile, whose candidate gains more than BENEFIT.
        kept: promoted nothing, of the clean jobs.
        gain: mean of what the verdicts brought. seconds, slow: median and 95 % quantile.
        forecast_error: median distance of forecast and candidate's gain. forecast_rank: their rank correlation.
        accepted: promoted, of the jobs of ENOUGH images whose offline fit gains more than BENEFIT.
        gain_kept: median share of that fit's gain that the candidate has.
    """

    jobs: int
    failed: int
    promoted: Estimate | None
    harm: Estimate | None
    worst: float
    missed: Estimate | None
    kept: Estimate | None
    gain: Estimate | None
    forecast_error: Estimate | None
    forecast_rank: Estimate | None
    seconds: Estimate | None
    slow: Estimate | None
    accepted: Estimate | None
    gain_kept: Estimate | None


def harms(record: Record) -> bool:
    """Whether it made things worse."""
    return record.served_gain < -HARM - TOLERANCE


def misses(record: Record) -> bool:
    """Whether it left a benefit."""
    return _is_helpful(record) and not record.is_promoted


def summarise(records: Sequence[Record]) -> Summary:
    """Count."""
    helpful = [record for record in records if _is_helpful(record)]
    clean = [record for record in records if record.answer is Answer.CLEAN]
    forecasts = [(r.verdict.forecast.gain, r.gain) for r in records if r.verdict is not None and r.verdict.forecast]
    seconds = [record.seconds for record in records]
    gains = [(record, record.gain_of(record.offline)) for record in records if record.offline is not None]
    gains = [(record, gain) for record, gain in gains if gain > BENEFIT + TOLERANCE]
    return Summary(
        jobs=len(records),
        failed=sum(record.decision == FAILED for record in records),
        promoted=share([record.is_promoted for record in records]),
        harm=share([harms(record) for record in records]),
        worst=min([0.0, *(record.served_gain for record in records)]),
        missed=share([misses(record) for record in helpful]),
        kept=share([not record.is_promoted for record in clean]),
        gain=bootstrapped([record.served_gain for record in records], mean),
        forecast_error=bootstrapped([abs(forecast - gain) for forecast, gain in forecasts], median),
        forecast_rank=rank_correlation([f for f, _ in forecasts], [gain for _, gain in forecasts]),
        seconds=bootstrapped(seconds, median),
        slow=bootstrapped(seconds, slowest),
        accepted=share([record.is_promoted for record, _ in gains if record.images >= ENOUGH]),
        gain_kept=bootstrapped([100 * record.gain / gain for record, gain in gains], median),
    )


@dataclass(frozen=True)
class Group:
    """Some records under a name."""

    name: str
    records: tuple[Record, ...]


def overall(records: Sequence[Record]) -> list[Group]:
    """All, those of each material, those of judging kinds, and those with each right answer."""
    groups = [Group("all", tuple(records)), *grouped(records, lambda record: record.title)]
    judging = tuple(record for record in records if record.use is Use.JUDGING)
    groups += [Group("judging kinds", judging)] if judging else []
    return groups + grouped(records, lambda record: f"right answer: {record.answer}")


def grouped(records: Sequence[Record], name_of: Callable[[Record], str]) -> list[Group]:
    """By name, in the order in which names come first."""
    names = dict.fromkeys(map(name_of, records))
    return [Group(name, tuple(record for record in records if name_of(record) == name)) for name in names]


def by_size(records: Sequence[Record]) -> list[tuple[int, Group]]:
    """By number of images, of what was done at every size; nothing where there is one size alone."""
    sized = [record for record in records if not KINDS[record.kind].own_size]
    sizes = sorted({record.size for record in sized})
    done = [{_same(record) for record in sized if record.size == size} for size in sizes]
    everywhere = set.intersection(*done) if len(done) > 1 else set()
    kept = [record for record in sized if _same(record) in everywhere]
    return [(size, Group(str(size), tuple(r for r in kept if r.size == size))) for size in sizes] if kept else []


@dataclass(frozen=True)
class Poisoned:
    """A poison against the same batch without it.

    Attributes:
        cost: mean points that poison cost, of what would be served. worst: the most that it cost.
        harmed: share of the pairs where it was promoted and cost more than LOST_TO_POISON.
    """

    kind: str
    promoted: Estimate | None
    cost: Estimate | None
    worst: float
    harmed: Estimate | None


def poisoned(records: Sequence[Record]) -> list[Poisoned]:
    """Each poison that was run, where its twin was run, too."""
    twins = {(_same(record)[1:], record.size): record for record in records if record.kind == UNPOISONED.name}
    rows = []
    for group in grouped(records, lambda record: record.kind):
        if KINDS[group.name].stream != UNPOISONED.stream or group.name == UNPOISONED.name:
            continue
        pairs = [(r, twin) for r in group.records if (twin := twins.get((_same(r)[1:], r.size))) is not None]
        if not pairs:
            continue
        costs = [twin.served_gain - record.served_gain for record, twin in pairs]
        lost = [
            record.is_promoted and cost > LOST_TO_POISON + TOLERANCE
            for (record, _), cost in zip(pairs, costs, strict=True)
        ]
        promoted = share([record.is_promoted for record, _ in pairs])
        rows.append(Poisoned(group.name, promoted, bootstrapped(costs, mean), max(costs), share(lost)))
    return rows


def _is_helpful(record: Record) -> bool:
    return record.answer is not Answer.HOSTILE and record.gain > BENEFIT + TOLERANCE


def _same(record: Record) -> tuple[str, str, int]:
    return record.kind, record.material, record.seed
