"""A section's value, or the problem that stands in its place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """Why something is not known.

    Attributes:
        problem: what is wrong and what to do; or, if it was not examined, which section says so.
        examined: whether it was looked at; not, where something that it needs has a problem of its own.
    """

    problem: str
    examined: bool = True


class NotExaminedError(Exception):
    """Something that is needed first has a problem of its own."""


def attempt(step: Callable[[], T]) -> T | Problem:
    """What `step` finds out, or what kept it from doing so."""
    try:
        return step()
    except NotExaminedError as error:
        return Problem(str(error), examined=False)
    # A file that nobody has seen before may fail in every library below; the other sections have to survive it.
    except Exception as error:  # noqa: BLE001
        return Problem(_told(error))


def need(finding: T | Problem, section: str) -> T:
    """The value of an earlier finding.

    Raises:
        NotExaminedError: it is a problem.
    """
    if isinstance(finding, Problem):
        raise NotExaminedError(f"see {section}")
    return finding


def _told(error: Exception) -> str:
    """The error's own words, those of its cause if it hides them, and its type where it comes from a library."""
    words = str(error) or "no reason is given"
    ours = type(error).__module__.split(".")[0] in ("foreoptic", "service", "trainer")
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    cause = f": {error.__cause__}" if error.__cause__ is not None and str(error.__cause__) not in words else ""
    return f"{'' if ours else type(error).__name__ + ': '}{words}{notes}{cause}"
