"""The commands under `foreoptic bench`: what the product is measured by. They import nothing heavy before."""

from pathlib import Path
from typing import Annotated

import typer

from foreoptic import options

app = typer.Typer(help="Measure the product itself.", no_args_is_help=True)

Data = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="The data set's .npz; left out if unset.")]


@app.callback()
def benches() -> None:
    """Measure the product itself."""


@app.command()
def harm(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of records and report; goes on where it was.")],
    mnist: Data = None,
    usps: Data = None,
    cifar10: Data = None,
    materials: Annotated[
        str | None, typer.Option(help="Which of mnist, usps, optdigits, cifar10, separated by commas; all there are.")
    ] = None,
    kinds: Annotated[str | None, typer.Option(help="Kinds of batch, separated by commas; all if unset.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Draws of each kind; 20, or 1 if --quick.")] = None,
    first_seed: Annotated[
        int, typer.Option(min=0, help="The first draw: others than those that a change was made with in sight.")
    ] = 0,
    sizes: Annotated[
        str | None, typer.Option(help="Images in a batch, separated by commas; 512, or 48 if --quick.")
    ] = None,
    judged: Annotated[
        int | None, typer.Option(min=1, help="Images that accuracy is measured on; 1000, or 200 if --quick.")
    ] = None,
    method: Annotated[str, typer.Option(help="How the corrector is fitted.")] = "homogenizer",
    preset: Annotated[str, typer.Option(help="The method's choices that are measured.")] = "cascade",
    offline: Annotated[str | None, typer.Option(help="A preset that is fitted, too, to compare with.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes, each with one thread.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="A few small jobs: see that it runs.")] = False,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Fit nothing; report on the records that are there.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Run the gauntlet: many kinds of batch, judged on labels that no fit sees. Does it ever make things worse?"""
    from foreoptic.benching import Wanted, bench_harm

    wanted = Wanted(
        out=out,
        mnist=mnist,
        usps=usps,
        cifar10=cifar10,
        materials=_words(materials),
        kinds=_words(kinds),
        seeds=seeds,
        first_seed=first_seed,
        sizes=options.whole_numbers(sizes, "--sizes"),
        judged=judged,
        method=method,
        preset=preset,
        offline=offline,
        workers=workers,
        quick=quick,
        report_only=report_only,
        as_json=as_json,
    )
    bench_harm(wanted)


def _words(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(word.strip() for word in text.split(",") if word.strip())
