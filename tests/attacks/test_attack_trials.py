"""Graphs that crash, hang, flood or devour whoever loads them: a process of their own is lost, and nothing else."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from service.contract.errors import (
    ContractError,
    ExternalData,
    GraphTooLarge,
    TrialCrashed,
    TrialGarbled,
    TrialNotStarted,
    TrialRefused,
    TrialTimeout,
    UnreadableGraph,
)
from service.contract.graph_rules import CORRECTOR, FROZEN_MODEL, RULES, GraphRules
from service.contract.store import LocalStore
from service.engine import trial_run
from service.engine.trial_run import MAX_ANSWER_BYTES, ROOT, Limits, limits_for, try_graph
from service.engine.tried import Trials, TriedStore
from tests.attacks.hostile_graphs import (
    EXTERNAL,
    YES,
    constant,
    doubling,
    edge,
    empty_nodes,
    loop,
    making,
    model_of,
)

QUICK = Limits(memory_bytes=1 << 30, cpu_s=2, wall_s=30.0)


def node(operator: str, *names: str, **attributes: object):
    """A node with the last name as its output."""
    return helper.make_node(operator, names[:-1], names[-1:], name=f"the_{operator}", **attributes)


def computed(*nodes, constants: Sequence[TensorProto]) -> bytes:
    """What no reading of the file can tell: sizes that depend on the input's shape."""
    return model_of(
        [node("Shape", "x", "shape"), node("Mul", "shape", "by", "size"), *nodes], constants
    ).SerializeToString()


TERABYTE = constant("by", 10**6, 10**3, 1, 10)
DEVOURING = {
    "constant_of_shape": computed(
        node("ConstantOfShape", "size", "big"), node("ReduceMax", "big", "y"), constants=[TERABYTE]
    ),
    "expand": computed(node("Expand", "x", "size", "y"), constants=[TERABYTE]),
    "tile": computed(node("Tile", "x", "size", "y"), constants=[constant("by", 10**4)]),
    "hidden_from_the_rules_by_arithmetic": model_of(
        [node("Add", "part", "part", "size"), node("ConstantOfShape", "size", "big"), node("ReduceMax", "big", "y")],
        [constant("part", 10**12)],
    ).SerializeToString(),
    "eight_million_nodes_of_two_bytes": empty_nodes(8 << 20),
}


@pytest.mark.parametrize("rules", [FROZEN_MODEL, CORRECTOR], ids=lambda rules: rules.name)
@pytest.mark.parametrize("content", DEVOURING.values(), ids=DEVOURING.keys())
def test_a_graph_that_devours_memory_is_refused(content: bytes, rules: GraphRules) -> None:
    # Where memory ends while the file is parsed, protobuf calls the file unreadable.
    with pytest.raises((TrialRefused, TrialCrashed, GraphTooLarge, UnreadableGraph)):
        try_graph(content, rules)


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param(QUICK, id="by_the_processor"),
        pytest.param(Limits(memory_bytes=1 << 30, cpu_s=60, wall_s=2.0), id="by_the_clock"),
    ],
)
def test_a_loop_that_never_ends_is_ended(limits: Limits) -> None:
    endless = model_of([loop(), node("Identity", "looped", "y")], [YES])

    with pytest.raises(TrialTimeout, match="2 s"):
        try_graph(endless.SerializeToString(), FROZEN_MODEL, limits=limits)


def test_a_broken_rule_comes_back_as_what_it_is() -> None:
    with pytest.raises(ExternalData):
        try_graph(EXTERNAL["location_beside"], FROZEN_MODEL)


PROGRAMS = {
    "segmentation_fault": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", TrialCrashed),
    "abort": ("import os; os.abort()", TrialCrashed),
    "killed_for_memory": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", TrialCrashed),
    "exit_status": ("raise SystemExit(3)", TrialCrashed),
    "sleep": ("import time; time.sleep(600)", TrialTimeout),
    "sleep_with_closed_output": ("import os, time; os.close(1); time.sleep(600)", TrialTimeout),
    "reads_nothing_and_ends": ("", TrialGarbled),
    "flood": ("while True: print('x' * 9999)", TrialGarbled),
    "flood_on_standard_error": (
        "import sys\nwhile True: sys.stderr.write('x' * 9999)",
        TrialTimeout,
    ),
    "no_json": ("print('fine!')", TrialGarbled),
    "another_document": ("print('{}')", TrialGarbled),
    "an_error_of_its_own": ('print(\'{"error": "SystemExit", "detail": ""}\')', TrialGarbled),
    "two_answers": (
        'print(\'{"input": null, "declared": false, "outputs": []}\' * 2)',
        TrialGarbled,
    ),
    "a_child_that_stays": (
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])",
        TrialTimeout,
    ),
}


@pytest.mark.parametrize(("code", "kind"), PROGRAMS.values(), ids=PROGRAMS.keys())
def test_whatever_the_process_does_the_parent_goes_on(code: str, kind: type[ContractError]) -> None:
    # Larger than a pipe holds: who waits for it to be read would wait for ever.
    content = bytes(4 << 20)
    before = set(os.listdir("/proc/self/fd")), threading.active_count()

    with pytest.raises(kind):
        try_graph(content, FROZEN_MODEL, limits=replace(QUICK, wall_s=2.0), program=("-c", code))

    for thread in threading.enumerate():
        if thread.name.startswith("trial-"):
            thread.join(10)
    assert (set(os.listdir("/proc/self/fd")), threading.active_count()) == before


def test_the_words_of_the_process_are_made_fit_to_be_shown() -> None:
    words = "\\\\u001b[31m" + "a" * 5000
    code = f"""print('{{"error": "TrialRefused", "detail": "{words}"}}')"""

    with pytest.raises(TrialRefused) as caught:
        try_graph(b"", FROZEN_MODEL, limits=QUICK, program=("-c", code))

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_nothing_of_ours_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREOPTIC_SECRET", "key")
    code = (
        "import os; raise SystemExit(len({'FOREOPTIC_SECRET', 'HOME', 'PATH'} & set(os.environ)) + len(os.listdir()))"
    )

    with pytest.raises(TrialGarbled):
        try_graph(b"", FROZEN_MODEL, limits=QUICK, program=("-c", code))


def test_the_process_has_one_thread_and_sends_no_telemetry() -> None:
    code = "import os, onnxruntime; raise SystemExit(len(os.listdir('/proc/self/task')) - 1)"

    with pytest.raises(TrialGarbled):
        try_graph(b"", FROZEN_MODEL, limits=QUICK, program=("-c", code))


def test_the_process_limits_itself_before_it_reads() -> None:
    code = (
        "import json, os, resource, sys\n"
        "from service.engine.trial import limit\n"
        "limit(memory_bytes=1 << 30, cpu_s=7)\n"
        "names = ['AS', 'CPU', 'CORE', 'FSIZE', 'NPROC']\n"
        "caps = [resource.getrlimit(getattr(resource, 'RLIMIT_' + name))[1] for name in names]\n"
        "outputs = [{'name': 'caps', 'shape': caps, 'dtype': '', 'finite': True}]\n"
        "print(json.dumps({'input': None, 'declared': False, 'outputs': outputs}))\n"
    )

    report = try_graph(b"", FROZEN_MODEL, limits=QUICK, program=("-c", code))

    assert report.outputs[0].shape == (1 << 30, 8, 0, 0, 0)


# Memory is for what the input makes necessary, up to what the machine can spare.


def wide_convolution(rows: int) -> bytes:
    """The first layers of an ordinary classifier of photographs, with rows that the file fixes."""
    weights = [np.ones(shape, np.float32) for shape in ((32, 3, 3, 3), (96, 32, 1, 1))]
    model = model_of(
        [
            node("Conv", "x", "first", "few", strides=[2, 2], pads=[1, 1, 1, 1]),
            helper.make_node("Conv", ["few", "second"], ["many"]),
            node("Clip", "many", "low", "high", "clipped"),
            node("GlobalAveragePool", "clipped", "y"),
        ],
        [numpy_helper.from_array(values, name) for values, name in zip(weights, ("first", "second"), strict=True)]
        + [numpy_helper.from_array(np.float32(value), name) for value, name in ((0, "low"), (6, "high"))],
    )
    model.graph.input[0].CopyFrom(edge("x", [rows, 3, 224, 224]))
    return model.SerializeToString()


def test_an_ordinary_model_that_fixes_many_rows_has_the_memory_that_it_needs() -> None:
    report = try_graph(wide_convolution(128), FROZEN_MODEL)

    assert report.outputs[0].shape == (128, 96, 1, 1)


def test_a_run_that_lacks_memory_says_how_much_there_was_and_what_to_do() -> None:
    with pytest.raises(TrialRefused, match=r"more than the 1034 MiB .* export it for fewer rows"):
        try_graph(wide_convolution(128), FROZEN_MODEL, limits=replace(QUICK, room_bytes=10 << 20, cpu_s=30))


def test_room_is_given_out_by_the_input_and_never_beyond_its_end() -> None:
    code = (
        "import json, resource\n"
        "from service.engine.trial import limit, widen\n"
        "caps = []\n"
        "limit(memory_bytes=1 << 30, cpu_s=7, room_bytes=1 << 20)\n"
        "for numbers in (0, 1, 1 << 40):\n"
        "    widen(numbers)\n"
        "    caps.append(resource.getrlimit(resource.RLIMIT_AS)[0])\n"
        "outputs = [{'name': 'caps', 'shape': caps, 'dtype': '', 'finite': True}]\n"
        "print(json.dumps({'input': None, 'declared': False, 'outputs': outputs}))\n"
    )

    report = try_graph(b"", FROZEN_MODEL, limits=QUICK, program=("-c", code))

    assert report.outputs[0].shape == (1 << 30, (1 << 30) + 512, (1 << 30) + (1 << 20))


# What a trial reports, and what it asks of a corrector.


def test_an_honest_graph_is_run_once_and_described() -> None:
    report = try_graph(doubling().SerializeToString(), CORRECTOR)

    assert report.input == (1, 1, 8, 8)
    assert report.declared
    assert [(out.name, out.shape, out.dtype, out.finite) for out in report.outputs] == [
        ("y", (1, 1, 8, 8), "float32", True)
    ]


@pytest.mark.parametrize(
    ("sides", "kind", "item", "run"),
    [
        pytest.param([4, 3], TensorProto.FLOAT, (), (4, 3), id="fixed_batch"),
        pytest.param(["n", "h", "w"], TensorProto.FLOAT, (2, 5), (1, 2, 5), id="open_sides"),
        pytest.param(None, TensorProto.FLOAT, (2, 5), (1, 2, 5), id="open_rank"),
        pytest.param(["n", 3], TensorProto.UINT8, (), (1, 3), id="uint8"),
        pytest.param(["n", 3], TensorProto.FLOAT16, (), (1, 3), id="float16"),
        pytest.param(["n", 3], TensorProto.DOUBLE, (), (1, 3), id="float64"),
    ],
)
def test_the_input_is_made_as_the_file_declares_it(
    sides, kind: int, item: tuple[int, ...], run: tuple[int, ...]
) -> None:
    model = model_of([node("Identity", "x", "y")])
    model.graph.input[0].CopyFrom(edge("x", sides, kind))
    model.graph.output[0].CopyFrom(edge("y", None, kind))

    report = try_graph(model.SerializeToString(), CORRECTOR, item=item)

    assert (report.input, report.outputs[0].shape) == (run, run)
    assert report.declared == (not item)


def test_open_sides_that_nobody_fills_are_loaded_and_not_run() -> None:
    model = model_of([node("Identity", "x", "y")])
    model.graph.input[0].CopyFrom(edge("x", ["n", "h", "w"]))

    assert try_graph(model.SerializeToString(), FROZEN_MODEL).input is None


UNFIT = {
    "another_shape": model_of([node("Flatten", "x", "y")]).SerializeToString(),
    "not_finite": model_of([node("Sub", "x", "x", "zero"), node("Div", "x", "zero", "y")]).SerializeToString(),
    "fails_when_run": model_of(
        [node("Reshape", "x", "shape", "y")], [constant("shape", 1, 1, 7, 7)]
    ).SerializeToString(),
    "unknown_operator": model_of([node("Gelu", "x", "y")]).SerializeToString(),
    "missing_tensor": model_of([node("Relu", "elsewhere", "y")]).SerializeToString(),
}


@pytest.mark.parametrize("content", UNFIT.values(), ids=UNFIT.keys())
def test_a_graph_that_is_no_corrector_is_refused(content: bytes) -> None:
    with pytest.raises(TrialRefused):
        try_graph(content, CORRECTOR)


# What is remembered of trials.


def test_a_passed_trial_is_remembered_by_the_home_and_a_failed_one_by_the_process(tmp_path: Path) -> None:
    good, bad = doubling().SerializeToString(), UNFIT["another_shape"]
    trials = Trials(tmp_path / "tried")

    trials.ensure(good, CORRECTOR)
    for _ in range(2):
        with pytest.raises(TrialRefused, match="turns"):
            trials.ensure(bad, CORRECTOR)

    assert len(list((tmp_path / "tried").iterdir())) == 1
    assert len(trials._failed) == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"max_nodes": CORRECTOR.max_nodes - 1}, id="a_smaller_cap"),
        pytest.param({"operators": {"": CORRECTOR.operators[""] - {"Mul"}}}, id="an_operator_less"),
        pytest.param({"input_types": frozenset({TensorProto.FLOAT16})}, id="a_type_less"),
    ],
)
def test_what_passed_is_tried_again_under_other_rules_of_the_same_name(
    tmp_path: Path, change: dict[str, object]
) -> None:
    content, trials = doubling().SerializeToString(), Trials(tmp_path / "tried")
    trials.ensure(content, CORRECTOR)

    trials.ensure(content, replace(CORRECTOR, **change))

    assert len(list((tmp_path / "tried").iterdir())) == 2


def test_rules_have_the_same_identity_in_every_process() -> None:
    code = "from service.contract.graph_rules import RULES; print(*(rules.identity() for rules in RULES.values()))"

    told = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }

    assert [told.pop().split(), told] == [[rules.identity().encode() for rules in RULES.values()], set()]


def test_a_trial_that_ran_out_of_time_on_a_busy_machine_is_held_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_run, "limits_for", lambda _content: replace(QUICK, cpu_s=1))
    endless = model_of([loop(), node("Identity", "looped", "y")], [YES]).SerializeToString()
    trials = Trials(tmp_path / "tried")

    for _ in range(2):
        with pytest.raises(TrialTimeout):
            trials.ensure(endless, FROZEN_MODEL)

    assert not trials._failed


def test_a_trial_that_cannot_be_started_is_no_fact_about_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, trials = doubling().SerializeToString(), Trials(tmp_path / "tried")
    with monkeypatch.context() as patched, pytest.raises(TrialNotStarted, match="no process can be started"):
        # As a disk that takes nothing more.
        patched.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
        trials.ensure(content, CORRECTOR)

    trials.ensure(content, CORRECTOR)

    assert len(list((tmp_path / "tried").iterdir())) == 1


def test_another_use_of_the_same_bytes_is_another_trial(tmp_path: Path) -> None:
    content = making("RandomNormal", shape=[4])
    trials = Trials(tmp_path / "tried")

    trials.ensure(content, FROZEN_MODEL)

    with pytest.raises(ContractError):
        trials.ensure(content, CORRECTOR)


def test_open_sides_are_tried_for_every_shape(tmp_path: Path) -> None:
    model = model_of([node("Reshape", "x", "four", "y")], [constant("four", 1, 4)])
    model.graph.input[0].CopyFrom(edge("x", ["n", "h", "w"]))
    trials = Trials(tmp_path / "tried")

    trials.ensure(model.SerializeToString(), FROZEN_MODEL, item=(2, 2))

    with pytest.raises(TrialRefused):
        trials.ensure(model.SerializeToString(), FROZEN_MODEL, item=(2, 3))


def test_a_home_that_cannot_be_written_only_costs_the_memory(tmp_path: Path) -> None:
    (tmp_path / "tried").write_bytes(b"a file where the folder should be")

    Trials(tmp_path / "tried").ensure(doubling().SerializeToString(), CORRECTOR)


def test_the_store_keeps_nothing_that_did_not_come_through(tmp_path: Path, make_corrector) -> None:
    store = TriedStore(tmp_path / "store", tmp_path / "tried")

    with pytest.raises(TrialRefused):
        store.publish(make_corrector(**{"corrector.onnx": UNFIT["another_shape"]}))

    assert [] == list((tmp_path / "store").iterdir())


def test_the_store_hands_out_nothing_that_did_not_come_through(tmp_path: Path, make_corrector) -> None:
    forged = make_corrector(**{"corrector.onnx": UNFIT["another_shape"]})
    digest = LocalStore(tmp_path / "store").publish(forged)

    with pytest.raises(TrialRefused):
        TriedStore(tmp_path / "store", tmp_path / "tried").read(digest, type(forged.manifest))


def test_limits_grow_with_the_file() -> None:
    small, large = limits_for(b""), limits_for(np.zeros(1 << 27, np.uint8).data)

    assert small.memory_bytes < large.memory_bytes
    assert small.cpu_s < large.cpu_s
    assert MAX_ANSWER_BYTES < 1 << 20
