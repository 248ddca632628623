"""Options that several commands share, and what their text means."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import ValidationError

from foreoptic import show
from service.settings import Settings

if TYPE_CHECKING:
    from foreoptic.registering import Stated
    from trainer.interface import Normalisation

OnnxFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The frozen model.")]
Source = Annotated[
    Path | None, typer.Option(exists=True, help="Source images: .npz with x (and y), or a folder of class folders.")
]
Part = Annotated[str | None, typer.Option(help="Read x_PART and y_PART of the .npz, as in x_train.")]
Low = Annotated[float, typer.Option(help="What pixel 0 becomes.")]
High = Annotated[float | None, typer.Option(help="What pixel 255 becomes; 1 unless the input is uint8.")]
Mean = Annotated[str, typer.Option(help="Subtracted then, one value or one a channel.")]
Std = Annotated[str, typer.Option(help="Divided by then, one value or one a channel.")]
LayoutName = Annotated[
    Literal["NCHW", "NHWC"] | None,
    typer.Option("--layout", help="Where the channels are, if the shape leaves a doubt."),
]
Size = Annotated[str | None, typer.Option(help="HEIGHTxWIDTH to serve at, where the file leaves them open.")]
Scores = Annotated[str | None, typer.Option(help="The output with the class scores, if it is not the first.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def settings(**changed: Any) -> Settings:
    """The environment's settings with what the command line says on top. Raises typer.Exit; it has been said why."""
    try:
        return Settings(**{name: value for name, value in changed.items() if value is not None})
    except ValidationError as error:
        raise show.fail("; ".join(str(item["msg"]).removeprefix("Value error, ") for item in error.errors())) from error


def normalisation_of(low: float, high: float | None, mean: str, std: str) -> "Normalisation":
    """How pixels become the model's input. Raises typer.Exit; it has been said why."""
    from trainer.interface import Normalisation

    bounds = None if high is None and low == 0 else (low, 1.0 if high is None else high)
    return Normalisation(bounds, _numbers(mean, "--mean"), _numbers(std, "--std"))


def stated_of(layout: Literal["NCHW", "NHWC"] | None, size: str | None, scores: str | None) -> "Stated":
    """What the user says of the model. Raises typer.Exit; it has been said why."""
    from foreoptic.registering import Stated

    return Stated(layout, None if size is None else _size(size), scores)


def whole_numbers(text: str | None, option: str) -> tuple[int, ...] | None:
    """Numbers above 0, None where nothing is said. Raises typer.Exit; it has been said why."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise show.fail(f"{option} takes whole numbers above 0, separated by commas, got '{text}'")
    return tuple(int(part) for part in parts)


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise show.fail(f"{option} takes numbers separated by commas, got '{text}'") from error


def _size(text: str) -> tuple[int, int]:
    height, cross, width = text.partition("x")
    if not (cross and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise show.fail(f"--size takes HEIGHTxWIDTH in pixels, such as 224x224, got '{text}'")
    return int(height), int(width)
