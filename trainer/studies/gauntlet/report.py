"""The records as CSV, as JSON and as a page of Markdown; the pictures are in `figures.py`."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from trainer.shifts.registry import KINDS
from trainer.studies.gauntlet.intervals import Estimate
from trainer.studies.gauntlet.jobs import Terms
from trainer.studies.gauntlet.records import FAILED, Record
from trainer.studies.gauntlet.summary import (
    BENEFIT,
    ENOUGH,
    HARM,
    LOST_TO_POISON,
    Group,
    Poisoned,
    Summary,
    by_size,
    grouped,
    harms,
    overall,
    poisoned,
    summarise,
)

UNKNOWN = "-"
SHOWN = 20
"""Jobs that did harm, worst first."""

LEGEND = (
    "In brackets: 95 % confidence intervals, Wilson's for shares, the bootstrap's for means, medians and quantiles. "
    f"*Harm*: promoted and more than {HARM:g} points below the identity, in percent of all jobs. *Worst*: the lowest "
    "gain of a promoted candidate. *Missed*: not promoted, in percent of the jobs whose candidate gains more than "
    f"{BENEFIT:g} points, hostile ones left out. *Clean kept*: nothing promoted, in percent of the jobs with source "
    "images that nothing happened to. *Gain*: mean of the points that the verdicts brought. *Forecast*: median error "
    "in points, and rank correlation with what the candidate really gains, where the verdict has a forecast. Seconds "
    "are of one thread, from batch to verdict."
)

Cell = Callable[[Summary], str]


def text(estimate: Estimate | None, digits: int = 1) -> str:
    """A cell: value and interval."""
    if estimate is None:
        return UNKNOWN
    return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"


COLUMNS: Mapping[str, Cell] = {
    "jobs": lambda s: str(s.jobs),
    "promoted, %": lambda s: text(s.promoted),
    "harm, %": lambda s: text(s.harm),
    "worst": lambda s: f"{s.worst:.1f}",
    "missed, %": lambda s: text(s.missed),
    "clean kept, %": lambda s: text(s.kept),
    "gain": lambda s: text(s.gain),
    "forecast error": lambda s: text(s.forecast_error),
    "rank corr.": lambda s: text(s.forecast_rank, 2),
    "seconds, median": lambda s: text(s.seconds),
    "seconds, 95 %": lambda s: text(s.slow),
}
OFFLINE: Mapping[str, Cell] = {
    "jobs": lambda s: str(s.jobs),
    "share of gain kept, %": lambda s: text(s.gain_kept),
    "accepted, %": lambda s: text(s.accepted),
}


def to_csv(records: Sequence[Record]) -> str:
    """One line a record; strengths, reasons and the verdict's numbers are in the records themselves."""
    buffer = io.StringIO()
    lines = [_line(record) for record in records]
    writer = csv.DictWriter(buffer, list(lines[0]) if lines else ["material"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def _line(record: Record) -> dict[str, object]:
    names = ("material", "kind", "use", "answer", "seed", "size", "images", "unshifted", "identity", "candidate")
    forecast = record.verdict.forecast if record.verdict else None
    return {
        **{name: getattr(record, name) for name in names},
        "gain": round(record.gain, 6),
        "decision": record.decision,
        "reason": record.verdict.reasons[0].code if record.verdict else record.problem,
        "stages": "+".join(record.stages),
        "forecast": forecast.gain if forecast else None,
        "forecast_low": forecast.low if forecast else None,
        "forecast_high": forecast.high if forecast else None,
        "seconds": round(record.seconds, 3),
        "offline_decision": record.offline.decision if record.offline else None,
        "offline_candidate": record.offline.candidate if record.offline else None,
        "offline_seconds": round(record.offline.seconds, 3) if record.offline else None,
        "program": record.program,
    }


def to_json(records: Sequence[Record]) -> dict[str, Any]:
    """The summaries, for scripts."""
    return {
        "overall": {group.name: _figures(group) for group in overall(records)},
        "kinds": {group.name: _figures(group) for group in grouped(records, lambda record: record.kind)},
        "sizes": {group.name: _figures(group) for _, group in by_size(records)},
        "poisoned": [_plain(asdict(row)) for row in poisoned(records)],
    }


def _figures(group: Group) -> dict[str, Any]:
    return _plain(asdict(summarise(group.records)))


def _plain(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: value._asdict() if isinstance(value, Estimate) else value for name, value in figures.items()}


def to_markdown(records: Sequence[Record], terms: Terms, *, notes: Sequence[str], pictures: Sequence[str]) -> str:
    """The page: what was run, the tables, the jobs that did harm, the pictures by file name.

    Args:
        notes: what a reader must know of this run, such as what was left out.
    """
    parts = ["# The gauntlet: does it ever make things worse?", _facts(records, terms), *notes, LEGEND]
    parts += [f"## Overall\n\n{table('jobs of', overall(records))}"]
    parts += [
        f"## {title}, kind by kind\n\n{table('kind', grouped(group, lambda record: record.kind))}"
        for title, group in ((g.name, g.records) for g in grouped(records, lambda record: record.title))
    ]
    if sizes := [group for _, group in by_size(records)]:
        words = "Of the kinds, materials and seeds that were run at every size."
        parts.append(f"## By number of images\n\n{words}\n\n{table('images', sizes)}")
    if rows := poisoned(records):
        parts.append(_poison(rows))
    if any(record.offline for record in records):
        parts.append(_offline(records, terms))
    parts += [_worst(records), _failures(records)]
    parts += [f"![{name}]({name})" for name in pictures]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(records: Sequence[Record], terms: Terms) -> str:
    programs = sorted({record.program for record in records})
    facts = {
        "jobs": f"{len(records)}, of {len({record.kind for record in records})} kinds",
        "seeds": len({record.seed for record in records}),
        "images posted": ", ".join(map(str, sorted({record.size for record in records}))),
        "images judged on": terms.judged,
        "method and preset": f"{terms.method}, {terms.preset}",
        "state of the program": ", ".join(f"`{name}`" for name in programs),
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items())])


def table(first: str, groups: Sequence[Group], columns: Mapping[str, Cell] = COLUMNS) -> str:
    """One line a group."""
    rows = [(group.name, summarise(group.records)) for group in groups]
    return markdown(
        [first, *columns], [[name, *(cell(summary) for cell in columns.values())] for name, summary in rows]
    )


def _poison(rows: Sequence[Poisoned]) -> str:
    cells = [[row.kind, text(row.promoted), text(row.cost), f"{row.worst:.1f}", text(row.harmed)] for row in rows]
    words = (
        "What poison costs, in points of what would be served, against the same images without it. *Harmed*: "
        f"promoted, and more than {LOST_TO_POISON:g} points worse than without poison."
    )
    return f"## Poison\n\n{words}\n\n{markdown(['kind', 'promoted, %', 'cost', 'most', 'harmed, %'], cells)}"


def _offline(records: Sequence[Record], terms: Terms) -> str:
    words = (
        f"Against the preset `{terms.offline}`, fitted to the same batches, where that gains more than {BENEFIT:g} "
        "points: the median share of its gain that the candidate has, and how many candidates were promoted, of "
        f"batches of {ENOUGH} or more."
    )
    compared = [record for record in records if record.offline]
    return f"## Against the offline fit\n\n{words}\n\n{table('jobs of', overall(compared), OFFLINE)}"


def _worst(records: Sequence[Record]) -> str:
    found = sorted((record for record in records if harms(record)), key=lambda record: record.gain)
    if not found:
        return "## Jobs that did harm\n\nNone."
    cells = [
        [_name(r), f"{r.identity:.1f}", f"{r.candidate:.1f}", f"{r.gain:.1f}", "+".join(r.stages), _strengths(r)]
        for r in found[:SHOWN]
    ]
    head = ["job", "identity", "served", "gain", "stages", "strengths"]
    return f"## Jobs that did harm\n\n{len(found)} in all, the worst first.\n\n{markdown(head, cells)}"


def _failures(records: Sequence[Record]) -> str:
    failed = [[_name(record), record.problem or UNKNOWN] for record in records if record.decision == FAILED]
    return f"## Jobs that failed\n\n{markdown(['job', 'problem'], failed)}" if failed else ""


def _name(record: Record) -> str:
    return f"{record.material} {record.kind}, {record.images} images, seed {record.seed}"


def _strengths(record: Record) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in record.settings.items())


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """A table whose first columns are words and whose others are numbers."""
    lines = [head, ["---"] * words + ["--:"] * (len(head) - words), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def kinds_table() -> str:
    """Every kind: what it is, what for, and what is right."""
    return markdown(
        ["kind", "what it is", "for", "right answer"],
        [[f"`{kind.name}`", kind.words, kind.use, kind.answer] for kind in KINDS.values()],
        words=4,
    )
