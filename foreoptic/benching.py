"""`foreoptic bench harm`: run what is not in the folder yet, write the report, print what it says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from foreoptic import show
from foreoptic.following import progress_bar
from service.contract.bundle import replace_synced
from service.settings import shipped_models
from trainer.datasets import DatasetError
from trainer.plugins import UnknownMethod, UnknownPreset
from trainer.shifts.registry import KINDS
from trainer.studies.gauntlet.figures import draw_all
from trainer.studies.gauntlet.intervals import Estimate
from trainer.studies.gauntlet.jobs import JUDGED, SEEDS, SIZE, Job, Terms, UnknownJob, jobs_of, program_digest
from trainer.studies.gauntlet.materials import MATERIALS, Files
from trainer.studies.gauntlet.records import Record
from trainer.studies.gauntlet.report import UNKNOWN, to_csv, to_json, to_markdown
from trainer.studies.gauntlet.summary import Summary, grouped, overall, summarise
from trainer.studies.gauntlet.workers import Run, WorkerDied, found_records, run_all

RECORDS, PAGE, LINES = "records", "harm.md", "harm.csv"
QUICK_KINDS = ("clean", "too-small", "junk", "outliers-10")
QUICK_SEEDS, QUICK_SIZE, QUICK_JUDGED = 1, 48, 200
SHOWN: Mapping[str, Callable[[Summary], str]] = {
    "jobs": lambda s: str(s.jobs),
    "harm %": lambda s: _value(s.harm),
    "≤ %": lambda s: UNKNOWN if s.harm is None else f"{s.harm.high:.1f}",
    "worst": lambda s: f"{s.worst:.1f}",
    "missed %": lambda s: _value(s.missed),
    "kept %": lambda s: _value(s.kept),
    "gain": lambda s: _value(s.gain),
    "s": lambda s: _value(s.seconds),
}
"""What fits on a terminal, harm with the upper end of its interval; the report has everything, and every interval."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line asks for; None takes the default, or that of `--quick`."""

    out: Path
    mnist: Path | None
    usps: Path | None
    cifar10: Path | None
    materials: tuple[str, ...] | None
    kinds: tuple[str, ...] | None
    seeds: int | None
    first_seed: int
    sizes: tuple[int, ...] | None
    judged: int | None
    method: str
    preset: str
    offline: str | None
    workers: int
    quick: bool
    report_only: bool
    as_json: bool


def bench_harm(wanted: Wanted) -> None:
    """Run the gauntlet.

    Raises:
        typer.Exit: a name means nothing, a file cannot be read, a worker died, or there is nothing to report on.
    """
    try:
        run, jobs, left_out = _plan(wanted)
        records = _records(run, jobs, wanted)
    except (DatasetError, UnknownJob, UnknownMethod, UnknownPreset, WorkerDied) as error:
        raise show.fail(str(error)) from error
    if not records:
        raise show.fail(f"{wanted.out} has no record of these jobs; leave --report-only out to make them")
    notes = _notes(run, jobs, records, left_out, wanted)
    _write(run, records, notes, wanted.out)
    if wanted.as_json:
        show.print_json({"notes": notes, **to_json(records)})
        return
    _print(records, notes, wanted.out)


def _plan(wanted: Wanted) -> tuple[Run, list[Job], list[str]]:
    """What to do, and which materials have no file."""
    files = Files(shipped_models(), wanted.mnist, wanted.usps, wanted.cifar10)
    terms = Terms(
        wanted.method, wanted.preset, wanted.offline, wanted.judged or (QUICK_JUDGED if wanted.quick else JUDGED)
    )
    asked = wanted.materials or tuple(MATERIALS)
    there = [name for name in asked if name not in MATERIALS or MATERIALS[name].is_there(files)]
    left_out = [name for name in asked if name not in there]
    if left_out and wanted.materials:
        raise DatasetError(f"material '{left_out[0]}' needs a file; give it with --{MATERIALS[left_out[0]].file}")
    first, count = wanted.first_seed, wanted.seeds or (QUICK_SEEDS if wanted.quick else SEEDS)
    jobs = jobs_of(
        there,
        wanted.kinds or (QUICK_KINDS if wanted.quick else tuple(KINDS)),
        seeds=range(first, first + count),
        sizes=wanted.sizes or (QUICK_SIZE if wanted.quick else SIZE,),
        terms=terms,
    )
    return Run(files, terms, wanted.out / RECORDS, program_digest()), jobs, left_out


def _records(run: Run, jobs: Sequence[Job], wanted: Wanted) -> list[Record]:
    if wanted.report_only:
        return found_records(run, jobs)
    try:
        with progress_bar() as advance:
            return run_all(run, jobs, workers=wanted.workers, advance=advance)
    except KeyboardInterrupt:
        kept = len(found_records(run, jobs))
        show.err.print(f"{kept} of {len(jobs)} jobs are done and kept in {wanted.out}; the same command goes on")
        raise


def _notes(
    run: Run, jobs: Sequence[Job], records: Sequence[Record], left_out: Sequence[str], wanted: Wanted
) -> list[str]:
    """What a reader must know of these numbers."""
    notes = [f"Left out, for no file was given: {', '.join(left_out)}."] if left_out else []
    if len(records) < len(jobs):
        notes.append(f"Incomplete: {len(records)} of {len(jobs)} jobs are done.")
    if older := sum(record.program != run.program for record in records):
        notes.append(
            f"{older} of {len(records)} records were made by another state of the program than today's "
            f"`{run.program}`. Name a new folder to measure today's."
        )
    if wanted.quick:
        notes.append("A quick run, to see that it runs: its numbers mean nothing.")
    return notes


def _write(run: Run, records: Sequence[Record], notes: Sequence[str], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    pictures = draw_all(records, out)
    replace_synced(out / LINES, to_csv(records).encode())
    replace_synced(out / PAGE, to_markdown(records, run.terms, notes=notes, pictures=pictures).encode())


def _print(records: Sequence[Record], notes: Sequence[str], out: Path) -> None:
    groups = overall(records) + grouped(records, lambda record: record.kind)
    summaries = [(group.name, summarise(group.records)) for group in groups]
    rows = [[name, *(cell(summary) for cell in SHOWN.values())] for name, summary in summaries]
    show.print_table("", ["jobs of", *SHOWN], rows)
    for note in notes:
        show.out.print(note, soft_wrap=True)
    show.out.print(f"report in {out / PAGE}", soft_wrap=True)


def _value(estimate: Estimate | None) -> str:
    return UNKNOWN if estimate is None else f"{estimate.value:.1f}"
