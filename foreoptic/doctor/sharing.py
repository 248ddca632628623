"""Section "batches": whether callers can share runs of the frozen model without changing each other's answers."""

from dataclasses import dataclass

from service.contract.input_spec import InputSpec
from service.engine.pipeline import Graph, mixes_exactly


@dataclass(frozen=True)
class Sharing:
    """Whether rows have the same bits alone as in every batch of 2 to `rows`.

    Attributes:
        filled_to: rows of every run, where the file fixes them; smaller ones are filled up with copies.
    """

    rows: int
    exact: bool
    filled_to: int | None


def look_at_sharing(frozen: Graph, spec: InputSpec, rows: int) -> Sharing:
    """Compare as the service does when it loads a model. Raises SessionError."""
    return Sharing(rows, mixes_exactly(frozen, spec.noise(rows)), spec.batch)
