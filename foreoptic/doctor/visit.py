"""One call of `foreoptic doctor`: examine with a progress bar, print, and the exit status that scripts ask for."""

from pathlib import Path

import typer

from foreoptic import show
from foreoptic.doctor.examination import examine
from foreoptic.doctor.printing import print_examination
from foreoptic.doctor.question import Question
from foreoptic.following import progress_bar
from foreoptic.registering import Stated
from service.settings import PROCESSORS, Settings
from trainer.interface import Normalisation


def visit(
    onnx_file: Path,
    source: Path | None,
    settings: Settings,
    *,
    part: str | None,
    normalisation: Normalisation,
    stated: Stated,
    quick: bool,
    as_json: bool,
) -> None:
    """Examine one file and print what is found.

    Raises:
        typer.Exit: the file could not be registered as it is; it has been said why.
    """
    question = Question(
        content=onnx_file.read_bytes(),
        normalisation=normalisation,
        stated=stated,
        source=source,
        part=part,
        threads=settings.threads,
        rows=settings.micro_batch_images,
        cores=PROCESSORS,
        quick=quick,
    )
    with progress_bar() as advance:
        found = examine(question, advance)
    if as_json:
        show.print_json(found.document())
    else:
        print_examination(found)
    if not found.registrable:
        raise typer.Exit(1)
