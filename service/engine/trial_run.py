"""Starting a trial and judging how it ended. The other end, in the throw-away process, is `trial.py`.

Nothing of the process is believed: not that it ends, not that it is brief, not that its words are its own.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from service.contract.errors import (
    ContractError,
    GraphError,
    TrialCrashed,
    TrialGarbled,
    TrialNotStarted,
    TrialRefused,
    TrialTimeout,
)
from service.contract.graph_rules import MIB, GraphRules

TRIAL = ("-m", "service.engine.trial")
ROOT = Path(__file__).resolve().parents[2]
MAX_ANSWER_BYTES = 256 * 1024
MAX_DETAIL = 600
MAX_ROOM_BYTES = 8192 * MIB
"""No file gets more for the size of its input, nor more than half of what the machine has."""

REFUSALS: dict[str, type[ContractError]] = {
    kind.__name__: kind for kind in (*GraphError.__subclasses__(), TrialRefused)
}


@dataclass(frozen=True)
class Limits:
    """What one trial may use up.

    Attributes:
        memory_bytes: until the rules are satisfied, and for loading.
        room_bytes: at most so much more for a run, a share for every number in the input.
    """

    memory_bytes: int
    cpu_s: int
    wall_s: float
    room_bytes: int = 0


class Output(BaseModel):
    """One output of the graph, as it came out of the trial."""

    model_config = ConfigDict(frozen=True)

    name: str
    shape: tuple[int, ...]
    dtype: str
    finite: bool


class Report(BaseModel):
    """How a graph did.

    Attributes:
        input: the shape that was run; None where the file leaves sides open and none were given.
        declared: whether the file alone says that shape, the number of items aside.
    """

    model_config = ConfigDict(frozen=True)

    input: tuple[int, ...] | None
    declared: bool
    outputs: tuple[Output, ...]


class Refusal(BaseModel):
    """Why a graph did not pass, in the words of the process."""

    error: str
    detail: str = Field(max_length=16 * MAX_DETAIL)


ANSWER: TypeAdapter[Report | Refusal] = TypeAdapter(Report | Refusal)


def limits_for(content: bytes) -> Limits:
    """Enough for any honest graph of that size: onnxruntime holds weights up to four times while it loads them."""
    gib = len(content) / (1024 * MIB)
    cpu_s = 30 + int(60 * gib)
    # Much more time by the clock: on a busy machine the processor is somebody else's.
    memory = 1024 * MIB + 8 * len(content)
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    room = max(0, min(MAX_ROOM_BYTES, half - memory))
    return Limits(memory_bytes=memory, cpu_s=cpu_s, wall_s=4.0 * cpu_s, room_bytes=room)


def try_graph(
    content: bytes,
    rules: GraphRules,
    *,
    item: Sequence[int] = (),
    limits: Limits | None = None,
    program: Sequence[str] = TRIAL,
) -> Report:
    """Check, load and run a graph in a process of its own; returns when that has ended.

    Args:
        item: sides of one item of the input, used where the file leaves them open.
        program: arguments for the Python interpreter, in front of those that a trial takes.

    Raises:
        GraphError: it breaks a rule.
        TrialError: it crashed, ran too long, was refused by onnxruntime, or answered nonsense.
        TrialNotStarted: there is no process to try it in; the same graph may pass a moment later.
    """
    chosen = limits or limits_for(content)
    arguments = [*program, rules.name, "--memory-bytes", str(chosen.memory_bytes), "--cpu-s", str(chosen.cpu_s)]
    arguments += ["--room-bytes", str(chosen.room_bytes)]
    try:
        answer, status = _run([*arguments, "--item", *map(str, item)], content, chosen)
    # RuntimeError is what Python says where no further thread can be had.
    except (OSError, RuntimeError) as error:
        raise TrialNotStarted(
            "no process can be started to try the graph in; see that the disk for temporary files is not full and that "
            "this user may have further files and processes"
        ) from error
    return _judge(answer, status, chosen)


def _run(arguments: Sequence[str], content: bytes, limits: Limits) -> tuple[bytes, int]:
    with tempfile.TemporaryDirectory(prefix="foreoptic-trial-", ignore_cleanup_errors=True) as folder:
        process = _start(arguments, folder)
        try:
            answer = _exchange(process, content, limits)
        finally:
            _end(process)
    return answer, process.returncode


def _start(arguments: Sequence[str], folder: str) -> subprocess.Popen[bytes]:
    # Nothing of ours is inherited; one thread, since more cannot be started under the limits, and onnxruntime's own
    # telemetry would be a second one, with a connection to the outside.
    environment = {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    # Our own fixed words and numbers; nothing of a client's reaches the command line.
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-P", "-s", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
        # Whatever it starts ends with it.
        start_new_session=True,
        bufsize=0,
    )


def _exchange(process: subprocess.Popen[bytes], content: bytes, limits: Limits) -> bytes:
    """Hand the graph in and take the answer, of which no more is read than an answer can have."""
    answer = bytearray()
    feeder = threading.Thread(target=_feed, args=(process, content), name="trial-input", daemon=True)
    reader = threading.Thread(target=_read, args=(process, answer), name="trial-output", daemon=True)
    deadline = time.monotonic() + limits.wall_s
    feeder.start()
    reader.start()
    reader.join(limits.wall_s)
    if len(answer) > MAX_ANSWER_BYTES:
        raise TrialGarbled(f"the trial answered with more than {MAX_ANSWER_BYTES} bytes; the graph is not used")
    try:
        if reader.is_alive():
            raise subprocess.TimeoutExpired([], limits.wall_s)
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise _timeout(f"{limits.wall_s:g} s") from error
    return bytes(answer)


def _feed(process: subprocess.Popen[bytes], content: bytes) -> None:
    assert process.stdin is not None
    rest = memoryview(content)
    # One that ends before it has read everything is judged by how it ends.
    with contextlib.suppress(OSError, ValueError):
        while rest:
            rest = rest[process.stdin.write(rest) :]
        process.stdin.close()


def _read(process: subprocess.Popen[bytes], answer: bytearray) -> None:
    assert process.stdout is not None
    while len(answer) <= MAX_ANSWER_BYTES and (part := process.stdout.read(MIB)):
        answer += part


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started, and give its pipes back."""
    if process.returncode is None:
        # Not yet waited for, so that its number cannot belong to another.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with contextlib.suppress(OSError):
            pipe.close()


def _judge(answer: bytes, status: int, limits: Limits) -> Report:
    if status == -signal.SIGXCPU:
        raise _timeout(f"{limits.cpu_s} s of processor time")
    if status != 0:
        how = f"signal {-status}" if status < 0 else f"status {status}"
        raise TrialCrashed(f"the process that loaded the graph ended with {how}; the graph is not used")
    try:
        document = ANSWER.validate_json(answer)
        if isinstance(document, Report):
            return document
        refusal = REFUSALS[document.error](_shown(document.detail))
    except (ValidationError, KeyError) as error:
        raise TrialGarbled("the trial did not answer as it must; the graph is not used") from error
    raise refusal


def _timeout(allowed: str) -> TrialTimeout:
    return TrialTimeout(f"the graph needs more than {allowed} to be loaded and run once; it is not used")


def _shown(detail: str) -> str:
    """The process's words, fit to be repeated: whoever has taken it over chooses them."""
    return "".join(letter for letter in detail[:MAX_DETAIL] if letter.isprintable())
