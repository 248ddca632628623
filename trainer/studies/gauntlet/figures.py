"""The records as pictures: what every candidate gains, the shares by kind, batch sizes, forecasts, seconds."""

from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trainer.shifts.kind import Use
from trainer.studies.gauntlet.intervals import Estimate
from trainer.studies.gauntlet.records import Record
from trainer.studies.gauntlet.summary import BENEFIT, HARM, Group, Summary, by_size, grouped, harms, summarise

HARMFUL, SERVED, KEPT, PALE = "#c1272d", "#0b6e99", "#8a8a8a", "0.9"
COLOURS = ("#0b6e99", "#d98200", "#4c8c2b", "#7b4ea3")
LINEAR = 1.0
"""Points on either side of zero that are drawn to scale; beyond, the axis is logarithmic."""
TICKS = (-100, -10, -1, 0, 1, 10, 100)
PANEL_INCHES, LINE_INCHES = 2.7, 0.24
LEAST_AXIS = 5.0
"""Percent that an axis of shares reaches at least."""


def draw_all(records: Sequence[Record], folder: Path) -> list[str]:
    """Every picture that the records have something for; the files' names."""
    pictures: dict[str, Callable[[], Figure | None]] = {
        "gains.png": lambda: gains(records),
        "shares.png": lambda: shares(records),
        "sizes.png": lambda: sizes(records),
        "forecasts.png": lambda: forecasts(records),
        "seconds.png": lambda: seconds(records),
    }
    names = []
    for name, draw in pictures.items():
        if (figure := draw()) is not None:
            figure.savefig(folder / name, dpi=130, metadata={"Software": None})
            names.append(name)
        else:
            (folder / name).unlink(missing_ok=True)
    return names


def gains(records: Sequence[Record]) -> Figure:
    """One dot a job: points that its candidate would bring, by kind and material, and whether it was promoted."""
    kinds = list(dict.fromkeys(record.kind for record in records))
    groups = grouped(records, lambda record: record.title)
    figure = _figure(2.0 + PANEL_INCHES * len(groups), 1.5 + LINE_INCHES * len(kinds))
    panels = figure.subplots(1, len(groups), sharey=True, sharex=True, squeeze=False)[0]
    for panel, group in zip(panels, groups, strict=True):
        _dots(panel, group, kinds)
    panels[0].set_yticks(range(len(kinds)), kinds)
    panels[0].set_ylim(len(kinds) - 0.4, -0.6)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize=8, columnspacing=1.0)
    figure.supxlabel(f"points that the candidate brings; dotted: {-HARM:g} and +{BENEFIT:g}", fontsize=9)
    return figure


def _dots(panel: Axes, group: Group, kinds: Sequence[str]) -> None:
    scatter = np.random.default_rng(0).uniform(-0.25, 0.25, len(group.records))
    styles: tuple[tuple[str, Callable[[Record], bool], dict[str, object]], ...] = (
        ("not promoted", lambda r: not r.is_promoted, {"facecolors": "none", "edgecolors": KEPT}),
        ("promoted", lambda r: r.is_promoted and not harms(r), {"color": SERVED}),
        ("promoted, and harm", harms, {"color": HARMFUL, "marker": "D"}),
    )
    for line in range(0, len(kinds), 2):
        panel.axhspan(line - 0.5, line + 0.5, color="0.96", zorder=0)
    for label, belongs, style in styles:
        rows = [index for index, record in enumerate(group.records) if belongs(record)]
        x = [group.records[row].gain for row in rows]
        y = [kinds.index(group.records[row].kind) + scatter[row] for row in rows]
        panel.scatter(x, y, s=14, linewidths=0.7, label=label, zorder=2, **style)  # type: ignore[arg-type]  # by name
    for value in (-HARM, BENEFIT):
        panel.axvline(value, color="0.5", linewidth=0.7, linestyle=":")
    panel.set_xscale("symlog", linthresh=LINEAR)
    panel.set_xticks(TICKS, [f"{tick:+d}" if tick else "0" for tick in TICKS], fontsize=7)
    panel.set_xlim(-120, 120)
    panel.set_title(group.name, fontsize=10)
    _bare(panel)


def shares(records: Sequence[Record]) -> Figure:
    """Harm and missed benefit by kind, all materials together, with their intervals."""
    groups = grouped(records, lambda record: record.kind)
    summaries = [summarise(group.records) for group in groups]
    figure = _figure(9.0, 1.2 + LINE_INCHES * len(groups))
    panels = figure.subplots(1, 2, sharey=True)
    sides: tuple[tuple[str, str, Callable[[Summary], Estimate | None]], ...] = (
        ("harm, percent of jobs", HARMFUL, lambda summary: summary.harm),
        ("missed, percent of helpful candidates", SERVED, lambda summary: summary.missed),
    )
    for panel, (title, colour, of) in zip(panels, sides, strict=True):
        for line in range(0, len(groups), 2):
            panel.axhspan(line - 0.5, line + 0.5, color="0.96", zorder=0)
        for line, summary in enumerate(summaries):
            _interval(panel, line, of(summary), colour)
        # Harm is rare: on an axis up to 100 nobody would see it.
        widest = max([LEAST_AXIS, *(estimate.high for summary in summaries if (estimate := of(summary)) is not None)])
        panel.set_xlim(-0.02 * widest, 1.02 * widest)
        panel.set_title(title, fontsize=10)
        _bare(panel)
    panels[0].set_yticks(range(len(groups)), [group.name for group in groups])
    panels[0].set_ylim(len(groups) - 0.4, -0.6)
    return figure


def _interval(panel: Axes, line: int, estimate: Estimate | None, colour: str) -> None:
    if estimate is not None:
        panel.plot([estimate.low, estimate.high], [line, line], color=colour, linewidth=1.2)
        panel.plot(estimate.value, line, "o", color=colour, markersize=4)


def sizes(records: Sequence[Record]) -> Figure | None:
    """Mean gain and harm over the number of images, a line a material; None of one size alone."""
    if not by_size(records):
        return None
    figure = _figure(9.0, 3.6)
    panels = figure.subplots(1, 2)
    sides: tuple[tuple[str, Callable[[Summary], Estimate | None]], ...] = (
        ("mean gain of what is served, points", lambda summary: summary.gain),
        ("harm, percent of jobs", lambda summary: summary.harm),
    )
    for panel, (title, of) in zip(panels, sides, strict=True):
        for index, group in enumerate(grouped(records, lambda record: record.title)):
            _curve(panel, group, of, index)
        panel.set_xscale("log", base=2)
        ticks = [size for size, _ in by_size(records)]
        panel.set_xticks(ticks, map(str, ticks))
        panel.set_xlabel("images in the batch")
        panel.set_title(title, fontsize=10)
        _bare(panel)
    panels[0].legend(frameon=False, fontsize=8)
    return figure


def _curve(panel: Axes, group: Group, of: Callable[[Summary], Estimate | None], index: int) -> None:
    found = [(size, of(summarise(part.records))) for size, part in by_size(group.records)]
    points = [(size, estimate) for size, estimate in found if estimate is not None]
    # A little apart, so that intervals of different lines can be told.
    x = [size * 1.04 ** (index - 1) for size, _ in points]
    y = [estimate.value for _, estimate in points]
    below, above = ([abs(getattr(e, side) - e.value) for _, e in points] for side in ("low", "high"))
    colour = COLOURS[index % len(COLOURS)]
    panel.errorbar(x, y, [below, above], color=colour, marker="o", markersize=4, capsize=2, label=group.name)


def forecasts(records: Sequence[Record]) -> Figure | None:
    """What was forecast against what the candidate brings; None where no verdict has a forecast."""
    found = [(record, record.verdict.forecast) for record in records if record.verdict and record.verdict.forecast]
    if not found:
        return None
    figure = _figure(5.0, 4.8)
    panel = figure.subplots()
    for use, colour in ((Use.CALIBRATION, KEPT), (Use.JUDGING, SERVED)):
        pairs = [(record.gain, forecast) for record, forecast in found if record.use is use]
        x, y = [gain for gain, _ in pairs], [forecast.gain for _, forecast in pairs]
        panel.vlines(x, [f.low for _, f in pairs], [f.high for _, f in pairs], color=colour, linewidth=0.4, alpha=0.4)
        panel.scatter(x, y, s=7, color=colour, alpha=0.6, label=f"{use} kinds")
    panel.axline((0, 0), slope=1, color="0.5", linewidth=0.7)
    panel.set_xlabel("points that the candidate brings")
    panel.set_ylabel("points forecast")
    panel.legend(frameon=False, fontsize=8)
    _bare(panel)
    return figure


def seconds(records: Sequence[Record]) -> Figure:
    """From batch to verdict: the share of jobs that were done by then, a line a material."""
    figure = _figure(5.0, 3.4)
    panel = figure.subplots()
    for index, group in enumerate(grouped(records, lambda record: record.title)):
        values = np.sort([record.seconds for record in group.records])
        done = 100 * np.arange(1, len(values) + 1) / len(values)
        panel.step(values, done, where="post", color=COLOURS[index % len(COLOURS)], label=group.name)
    panel.set_xlabel("seconds from batch to verdict, one thread")
    panel.set_ylabel("percent of jobs")
    panel.set_ylim(0, 102)
    panel.set_xlim(0, ceil(1.05 * max(record.seconds for record in records)))
    panel.legend(frameon=False, fontsize=8)
    _bare(panel)
    return figure


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _bare(panel: Axes) -> None:
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8)
    panel.grid(axis="x", color=PALE, linewidth=0.6)
    panel.set_axisbelow(True)
