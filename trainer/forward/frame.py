"""What families must know of the frozen model's input: the numbers of `trainer.stages.Frame`, without torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """One frozen model's input, and where the target images lie in it.

    Attributes:
        shape: channels, height, width.
        background: (C,) value that surrounds the target images, or None where they have no uniform border.
        span: (C,) distance from the smallest to the largest value that a picture can have.
    """

    shape: tuple[int, int, int]
    background: tuple[float, ...] | None
    span: tuple[float, ...]
