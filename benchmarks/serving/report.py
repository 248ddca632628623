"""Medians over rounds, as a table to read, as Markdown, and as a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.serving.limit import Limit
from benchmarks.serving.questions import CONSTANT, Question, Seen

Round = tuple[Limit, Mapping[Question, Seen]]
COLUMNS = (
    "server",
    "payload",
    "load",
    "requests/s",
    "of the best raw rate",
    "p50 ms",
    "p99 ms",
    "p50 of raw",
    "CPU us/request",
    "MiB",
    "failed",
)


def summarise(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """One row a question; ratios are medians of ratios within a round, so that a busy moment slows both sides."""
    rows = []
    for question in rounds[0][1]:
        pairs = [(limit, seen[question]) for limit, seen in rounds]
        values = {
            "per_s": [seen.load.rate for _, seen in pairs],
            "of_best": [seen.load.rate / limit.best for limit, seen in pairs],
            "p50_ms": [seen.load.p50_ms for _, seen in pairs],
            "p99_ms": [seen.load.p99_ms for _, seen in pairs],
            "p50_of_raw": [seen.load.p50_ms / limit.p50_ms for limit, seen in pairs],
            "cpu_us": [seen.cpu_us for _, seen in pairs],
            "mib": [seen.memory_mib for _, seen in pairs],
        }
        medians = {name: median(each) for name, each in values.items()}
        rows.append({**asdict(question), **medians, "failed": sum(seen.load.failed for _, seen in pairs)})
    return rows


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """To the terminal."""
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*_cells(row))
    Console(width=160).print(table)


def write_markdown(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """The same as Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---|---|---|" + "--:|" * (len(COLUMNS) - 3)]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    file.write_text("\n".join(lines) + "\n")


def draw(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Shares of the best raw rate, a bar a row, as a picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    drawn = [row for row in rows if row["server"] != CONSTANT][::-1]
    figure, axes = pyplot.subplots(figsize=(8, 0.34 * len(drawn) + 1.2), layout="constrained")
    colours = ["#4477aa" if row["server"] == "foreoptic" else "#bbbbbb" for row in drawn]
    bars = axes.barh([", ".join(_cells(row)[:3]) for row in drawn], [row["of_best"] for row in drawn], color=colours)
    axes.bar_label(bars, [f"{row['per_s']:,.0f}/s" for row in drawn], padding=3, fontsize=8)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of what onnxruntime alone answers")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=120)


def _cells(row: Mapping[str, Any]) -> list[str]:
    domains = f", {row['domains']} domains" if row["domains"] else ""
    load = (
        f"{row['clients']} client{'s' * (row['clients'] > 1)}{domains}" if row["what"] == "closed loop" else row["what"]
    )
    return [
        row["server"],
        row["payload"],
        load,
        f"{row['per_s']:,.0f}",
        f"{row['of_best']:.2f}",
        f"{row['p50_ms']:.2f}",
        f"{row['p99_ms']:.2f}",
        f"{row['p50_of_raw']:.1f}",
        f"{row['cpu_us']:.0f}",
        f"{row['mib']:.0f}",
        str(row["failed"]),
    ]
