"""How an examination looks on a terminal: a heading a section, and under it facts, a table, or the problem."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.markup import escape

from foreoptic import show
from foreoptic.doctor.examination import Examination
from foreoptic.doctor.file import FileFacts
from foreoptic.doctor.findings import Problem
from foreoptic.doctor.interface import InputFacts, Outputs
from foreoptic.doctor.reading import Gradient, Parity
from foreoptic.doctor.registrable import Registrable
from foreoptic.doctor.sharing import Sharing
from foreoptic.doctor.speed import Speed, StageCost
from foreoptic.doctor.taps import TapFacts, Taps
from trainer.frozen import OperatorSurvey

T = TypeVar("T")
TAPS_SHOWN = 12
"""Of more taps only the reserved ones are listed; --json has all."""


def print_examination(found: Examination) -> None:
    """All sections."""
    show.print_facts([("SHA-256", found.sha256), ("size", f"{found.size_bytes:,} bytes")])
    _section("file", found.file, _file)
    _section("input", found.input, _input)
    _section("outputs", found.outputs, _outputs)
    _section("operators", found.operators, _operators)
    _section("taps", found.taps, _taps)
    _section("parity with onnxruntime", found.parity, _parity)
    _section("gradient", found.gradient, _gradient)
    _section("batches", found.batches, _batches)
    if found.speed is not None:
        _section("speed", found.speed, _speed)
    show.out.print("\n[bold]verdict[/bold]")
    _verdict(found.registration)


def _section(title: str, found: T | Problem, shown: Callable[[T], None]) -> None:
    show.out.print(f"\n[bold]{title}[/bold]")
    if isinstance(found, Problem):
        mark = "[red]problem[/red]  " if found.examined else "not examined: "
        show.out.print(f"{mark}{escape(found.problem)}", soft_wrap=True)
    else:
        shown(found)


def _facts(*facts: tuple[str, object]) -> None:
    show.print_facts([(name, escape(str(value))) for name, value in facts])


def _file(found: FileFacts) -> None:
    opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in found.opsets.items())
    _facts(
        ("format", f"IR {found.ir_version}, opset {opsets}"),
        ("written by", found.producer or "not said"),
        ("nodes", f"{found.nodes:,}"),
        ("parameters", f"{found.parameters:,}"),
    )


def _input(found: InputFacts) -> None:
    rows = "any number" if found.rows is None else f"{found.rows} a run, as the file fixes them"
    size = f"{found.height} x {found.width}" + (", left open by the file" if found.size_open else "")
    _facts(
        ("name", found.name),
        ("element type", found.dtype),
        ("layout", f"{found.layout}, {found.channels} channels"),
        ("height x width", size),
        ("rows", rows),
        ("pixels 0 to 255", f"become {found.bounds[0]:g} to {found.bounds[1]:g}, before mean and std"),
    )


def _outputs(found: Outputs) -> None:
    _facts(
        *((each.name, f"{each.dtype} {each.shape} for {found.rows} rows") for each in found.outputs),
        ("class scores", f"{found.scores}, {found.classes} classes, {found.kind}"),
    )


def _operators(found: OperatorSurvey) -> None:
    rows = [
        (escape(use.operator), use.version or "unknown", use.nodes, _supported(use.nodes, use.refused), use.gradient)
        for use in found.uses
    ]
    show.print_table("", ["operator", "since", "nodes", "supported", "gradient"], rows)
    nodes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for refusal in found.refusals:
        nodes[refusal.operator, refusal.reason].append(repr(refusal.node))
    for (operator, reason), names in nodes.items():
        text = escape(f"{operator}: {reason}; nodes {', '.join(names)}")
        show.out.print(f"[red]not supported[/red]  {text}", soft_wrap=True)


def _supported(nodes: int, refused: int) -> str:
    if not refused:
        return "yes"
    return "no" if refused == nodes else f"{nodes - refused} of {nodes}"


def _taps(found: Taps) -> None:
    count = len(found.taps)
    _facts(
        ("taps", f"{count} tensors" + ("" if count >= found.fewest else f"; {found.fewest} are needed")),
        ("BatchNormalization", _normalised(found, count)),
        (
            "fingerprint",
            {"full": "full", "batchnorm": "from BatchNormalization alone", "none": "none"}[found.fingerprint],
        ),
    )
    if found.fingerprint == "batchnorm":
        _lines("cannot give", found.missing, "source images (--source) bring these back")
    if found.fingerprint == "none" and count >= found.fewest:
        _lines("needs", ["source images (--source): the file alone has no statistics to compare with"], "")
    if found.taps:
        _tap_table(found.taps)


def _tap_table(taps: Sequence[TapFacts]) -> None:
    whole = len(taps) <= TAPS_SHOWN
    rows = [
        (escape(tap.name), tap.channels, "yes" if tap.batchnorm else "no", _role(tap))
        for tap in taps
        if whole or tap.reserved
    ]
    show.print_table("" if whole else "reserved taps", ["tap", "channels", "BatchNormalization", "role"], rows)


def _normalised(found: Taps, count: int) -> str:
    nodes = found.batchnorm_nodes
    if not nodes:
        return "none in the file: most exporters fold it into the convolutions"
    between = "" if found.batchnorm == nodes else "; it keeps statistics of a tap only if it reads it directly"
    return f"{nodes} nodes, behind {found.batchnorm} of {count} taps{between}"


def _role(tap: TapFacts) -> str:
    return "reserved" if tap.reserved else "fitted" if tap.used else "unused"


def _lines(name: str, lines: Sequence[str], last: str) -> None:
    for index, line in enumerate([*lines, last] if last else lines):
        show.out.print(f"{name if index == 0 else '':<18}  {line}", soft_wrap=True)


def _parity(found: Parity) -> None:
    facts = [("largest, outputs", f"{found.outputs_error:.2g} ({found.output})")]
    if found.tap is not None:
        facts.append(("largest, taps", f"{found.taps_error:.2g} ({found.tap})"))
    measure = "root mean square, " if found.rounds else ""
    facts.append(("allowed", f"{found.tolerance:.2g}, {measure}relative to the tensor's largest value"))
    if found.rounds:
        facts.append(("node by node", found.nodewise or "all agree, fed with onnxruntime's own values"))
    _facts(*facts, ("verdict", "agrees" if found.holds else "differs: nothing must be fitted against this reading"))


def _gradient(found: Gradient) -> None:
    timed = "" if found.images == found.batch else f", reckoned from {found.images}"
    _facts(
        ("at the input", "finite" if found.finite else "not finite: correctors cannot be fitted"),
        ("not zero", f"at {100 * found.nonzero:.3g} % of the input's values"),
        ("forward + backward", f"{found.batch_seconds:.2f} s for {found.batch} images{timed}"),
    )


def _batches(found: Sharing) -> None:
    rows = f"alone and in every batch of 2 to {found.rows}"
    if found.exact:
        _facts(("same bits", f"yes, {rows}: callers share runs"))
    else:
        _facts(("same bits", f"no, not {rows}: each caller gets a run of its own"))
    if found.filled_to is not None:
        _facts(("fixed rows", f"runs are filled up to {found.filled_to} rows with copies, whose answers are dropped"))


def _speed(found: Speed) -> None:
    threads, batch = found.threads, f"batch of {found.threads.batch}, ms"
    rows = [
        (each.threads, f"{each.one_ms:.2f}", f"{each.batch_ms:.1f}", f"{each.images_per_s:.0f}")
        for each in threads.speeds
    ]
    show.print_table("frozen model alone", ["threads", "1 image, ms", batch, "images/s"], rows)
    _facts(("best", _best(threads.best, threads.best_one, threads.setting)))
    show.out.print()
    costs = [_cost(each) for each in (*found.stages, found.together)]
    columns = ["corrector stage", "numbers", "1 image, ms", "of model", batch, "of model"]
    show.print_table(f"added by a corrector ({threads.setting}={threads.best})", columns, costs)
    pair = found.pair
    _facts(
        ("model alone, in turns", f"{pair.bare_one_ms:.2f} ms, batch {pair.bare_batch_ms:.1f} ms"),
        ("model behind all stages", f"{pair.behind_one_ms:.2f} ms, batch {pair.behind_batch_ms:.1f} ms"),
    )


def _best(best: int, best_one: int, setting: str) -> str:
    most = f"{setting}={best} for the most images a second"
    return most if best == best_one else f"{most}, {setting}={best_one} for the fastest answer to one image"


def _cost(found: StageCost) -> tuple[str, ...]:
    one, batch = f"{found.one_percent:.1f} %", f"{found.batch_percent:.1f} %"
    return (found.name, f"{found.parameters:,}", f"{found.one_ms:.2f}", one, f"{found.batch_ms:.1f}", batch)


def _verdict(found: Registrable | Problem) -> None:
    if isinstance(found, Problem):
        show.out.print(f"[red]cannot be registered like this[/red]: {escape(found.problem)}", soft_wrap=True)
        return
    kind = "a full fingerprint" if found.fingerprint == "full" else "a fingerprint from BatchNormalization alone"
    show.out.print(f"[green]can be registered[/green] with {kind}")
