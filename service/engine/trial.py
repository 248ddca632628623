"""The first load of a graph, in a process that may be lost: `python -m service.engine.trial`.

Started by `trial_run.py`, which believes nothing of what comes back.
The graph comes as bytes on standard input, never as a path. The order is: limits, rules, onnxruntime, one run on noise.
The answer is one JSON object on standard output; whatever a library prints goes nowhere.
"""

import argparse
import json
import math
import os
import resource
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from service.contract.errors import GraphError, TrialRefused, WrongInterface
from service.contract.graph_rules import RULES, GraphRules, check_graph, only_input
from service.engine.session import OnnxSession, SessionError

FEW_FILES = 64
RUN_BYTES = 512
"""For a run, for every number in its input: sixty-four channels at full size, twice."""


def main() -> None:
    """Limit this process, read a graph, say how it does."""
    parser = argparse.ArgumentParser(prog="python -m service.engine.trial", description=__doc__)
    parser.add_argument("rules", choices=RULES)
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--room-bytes", type=int, default=0)
    parser.add_argument("--cpu-s", type=int, required=True)
    parser.add_argument("--item", type=int, nargs="*", default=[], help="sides of one item, for sides left open")
    arguments = parser.parse_args()
    limit(memory_bytes=arguments.memory_bytes, room_bytes=arguments.room_bytes, cpu_s=arguments.cpu_s)
    answer = _take_standard_output()
    rules = RULES[arguments.rules]
    try:
        document = examine(sys.stdin.buffer.read(), rules, arguments.item)
    except (GraphError, TrialRefused) as error:
        document = {"error": type(error).__name__, "detail": str(error)}
    except SessionError as error:
        words = f"{error}, in its first run in a process of its own{_short_of_memory(error)}"
        document = {"error": TrialRefused.__name__, "detail": words}
    except MemoryError as error:
        document = {"error": TrialRefused.__name__, "detail": f"it cannot be read{_short_of_memory(error)}"}
    os.write(answer, json.dumps(document).encode())


def limit(*, memory_bytes: int, cpu_s: int, room_bytes: int = 0) -> None:
    """Take from this process, for good, what a graph does not need; `widen` gives it back some of `room_bytes`."""
    caps = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: FEW_FILES,
        # No further process or thread; root is exempt from this one.
        resource.RLIMIT_NPROC: 0,
    }
    for what, cap in caps.items():
        _, hard = resource.getrlimit(what)
        # At the soft limit of time the kernel says which limit it was, at the hard one it only kills.
        spare = {resource.RLIMIT_CPU: 1, resource.RLIMIT_AS: room_bytes}.get(what, 0)
        most = cap + spare if hard == resource.RLIM_INFINITY else min(cap + spare, hard)
        resource.setrlimit(what, (min(cap, most), most))


def widen(numbers: int) -> None:
    """Allow the memory that a run takes on an input of so many numbers, as far as there is room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft not in (hard, resource.RLIM_INFINITY):
        resource.setrlimit(resource.RLIMIT_AS, (min(soft + RUN_BYTES * numbers, hard), hard))


def examine(content: bytes, rules: GraphRules, item: Sequence[int]) -> dict[str, Any]:
    """Check a graph, load it and run it once.

    Args:
        item: sides of one item of the input, used where the file leaves them open.

    Returns:
        `input`, the shape that was run, None where sides are open and no item is given; `declared`, whether the file
        alone says that shape; `outputs` with name, shape, dtype, and whether every value is finite.

    Raises:
        GraphError, SessionError, TrialRefused: it breaks a rule, does not load or run, or does not do what it is for.
    """
    model = check_graph(content, rules)
    entry = only_input(model)
    shape, is_declared = _shape(entry, item), _shape(entry, ()) is not None
    dtype = helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type)
    del model
    session = OnnxSession(content, threads=1)
    if shape is None:
        return {"input": None, "declared": False, "outputs": []}
    widen(math.prod(shape))
    noise = (np.random.default_rng(0).random(shape, np.float32) * (100 if dtype.kind in "iu" else 1)).astype(dtype)
    results = dict(zip((output.name for output in session.outputs), map(np.asarray, session.run(noise)), strict=True))
    outputs = [_describe(name, value) for name, value in results.items()]
    if rules.keeps_shape and (outputs[0]["shape"] != list(shape) or not outputs[0]["finite"]):
        raise TrialRefused(f"a {rules.name} turns {shape} into {outputs[0]['shape']}, or into what is not finite")
    return {"input": shape, "declared": is_declared, "outputs": outputs}


def _shape(entry: onnx.ValueInfoProto, item: Sequence[int]) -> tuple[int, ...] | None:
    """The declared shape with one item in the batch if that is open, and the item's sides where those are."""
    kind = entry.type.tensor_type
    if not kind.HasField("shape"):
        return (1, *item) if item else None
    declared = [side.dim_value if side.dim_value > 0 else None for side in kind.shape.dim]
    if item and len(item) != len(declared) - 1:
        raise WrongInterface(
            f"input '{entry.name[:80]}' has {len(declared)} sides, one item of {len(item)} cannot fill them"
        )
    spare = [1, *(item or declared[1:])]
    filled = [side or other for side, other in zip(declared, spare, strict=False)]
    return None if None in filled else tuple(side for side in filled if side is not None)


def _short_of_memory(error: Exception) -> str:
    """What there is and what to do, where memory was the reason; nothing where it was not."""
    # onnxruntime has no type for it, only words.
    if not isinstance(error, MemoryError) and "alloc" not in str(error.__cause__):
        return ""
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    return (
        f": it needs more than the {allowed >> 20} MiB that it gets for its size and its input; export it for fewer "
        "rows a run (best an open number) or a smaller picture, or use a machine with more memory"
    )


def _describe(name: str, value: np.ndarray) -> dict[str, Any]:
    finite = value.dtype.kind not in "fc" or bool(np.isfinite(value).all())
    return {"name": name, "shape": list(value.shape), "dtype": str(value.dtype), "finite": finite}


def _take_standard_output() -> int:
    """A descriptor for the answer alone; what native code prints must not be taken for it."""
    answer = os.dup(sys.stdout.fileno())
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return answer


if __name__ == "__main__":
    main()
