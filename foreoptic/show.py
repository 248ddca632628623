"""How results look on a terminal; `--json` prints the same facts for scripts."""

import json
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document on standard output, nothing else."""
    typer.echo(json.dumps(value, indent=2, sort_keys=True, default=str))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, left: int = 1) -> None:
    """A table whose first `left` columns are words and whose others are numbers."""
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*[str(cell) for cell in row])
    out.print(table)


def print_facts(facts: Sequence[tuple[str, object]]) -> None:
    """Names and values, aligned."""
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        out.print(f"{name:<{width}}  {value}", soft_wrap=True)


def fail(message: str) -> typer.Exit:
    """Say what is wrong; raise the result."""
    err.print(f"[red]error:[/red] {message}", soft_wrap=True)
    return typer.Exit(1)
