"""The generated parts of `docs/frozen-models.md`: tables in Markdown between markers. Nothing is measured here."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from trainer.frozen import operators
from trainer.frozen.operators.quantization import STRAIGHT_THROUGH
from trainer.studies.frozen_models.checks import Reading

AXES = {"none": "none", "batch": "n", "batch and size": "n, h, w"}


class _Group(NamedTuple):
    """What one line of the table holds together."""

    architecture: str
    exporter: str
    norms: str


def with_part(page: str, name: str, content: str) -> str:
    """The page with what stands between two markers replaced. Raises ValueError if a marker is missing."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    if begin not in page or end not in page:
        raise ValueError(f"the page lacks the markers {begin.strip()!r} and {end!r}; put them where the part belongs")
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{content}\n{end}{rest.partition(end)[2]}"


def operator_table() -> str:
    """Every operator that can be computed, with the since-versions of its schemas."""
    versions = defaultdict(list)
    for domain, name, version in operators.entries():
        versions[domain, name].append(str(version))
    lines = ["| operator | since-versions | gradient |", "|---|---|---|"]
    for (domain, name), known in versions.items():
        label = f"{domain}::{name}" if domain else name
        gradient = "straight-through" if (domain, name) in STRAIGHT_THROUGH else ""
        lines.append(f"| `{label}` | {', '.join(known)} | {gradient} |")
    return "\n".join(lines)


def readings_table(readings: Iterable[Reading]) -> str:
    """One line per architecture, exporter and what became of the normalisations; a list of what does not hold below."""
    groups: dict[_Group, list[Reading]] = defaultdict(list)
    failing = []
    for reading in readings:
        if reading.holds:
            groups[_Group(reading.architecture, reading.way.exporter, _norms(reading))].append(reading)
        else:
            failing.append(reading)
    head = "| architecture | exporter | opsets | open axes | normalisations | taps | parity | gradient |"
    lines = [head, "|---|---|---|---|---|--:|--:|--:|"]
    lines += [_line(group, members) for group, members in groups.items()]
    return "\n".join([*lines, "", *_failures(failing)])


def _line(group: _Group, members: Sequence[Reading]) -> str:
    opsets = _spans(sorted({member.way.opset for member in members}))
    axes = "; ".join(text for axes, text in AXES.items() if axes in {member.way.axes for member in members})
    taps = ", ".join(str(count) for count in sorted({member.taps for member in members}))
    parity, gradient = (_worst(getattr(member, name) for member in members) for name in ("parity", "gradient"))
    cells = (group.architecture, group.exporter, opsets, axes, group.norms, taps, parity, gradient)
    return f"| {' | '.join(cells)} |"


def _worst(differences: Iterable[float]) -> str:
    worst = max(differences)
    return f"{worst:.0e}" if worst else "0"


def _norms(reading: Reading) -> str:
    if not reading.norms:
        return "none"
    return f"{reading.with_statistics} of {reading.norms} kept"


def _failures(failing: Sequence[Reading]) -> list[str]:
    if not failing:
        return ["Nothing is refused, and no comparison fails."]
    return [f"- {reading.architecture}, {reading.way}: {_reason(reading)}" for reading in failing]


def _reason(reading: Reading) -> str:
    return reading.refusal or f"parity {reading.parity:.1e}, gradient {reading.gradient:.1e}"


def _spans(numbers: Sequence[int]) -> str:
    """13, 14, 15, 17 as "13-15, 17"."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][-1] == number - 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return ", ".join(f"{span[0]}–{span[-1]}" if len(span) > 1 else str(span[0]) for span in spans)
