"""`foreoptic doctor`: every section says what is so, stands alone, and agrees with what registration does."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

import trainer.stages
from foreoptic.cli import app
from foreoptic.doctor.stages import known_stages
from foreoptic.doctor.timing import in_turns
from service.settings import PROCESSORS, shipped_models
from tests.conftest import random_rows
from tests.interface_variants import VARIANTS

SECTIONS = ("file", "input", "outputs", "operators", "taps", "parity", "gradient", "batches", "registration")


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.setenv("FOREOPTIC_HOME", str(tmp_path / "home"))

    def run(*arguments: object):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def diagnose(invoke, tmp_path):
    """The document of `--json --quick` for some bytes, and the exit status."""

    def run(content: bytes, *arguments: object):
        file = tmp_path / "patient.onnx"
        file.write_bytes(content)
        done = invoke("doctor", file, "--json", "--quick", *arguments)
        return json.loads(done.stdout), done.exit_code

    return run


@pytest.fixture
def images(tmp_path):
    file = tmp_path / "images.npz"
    np.savez(file, x=random_rows(200), y=np.arange(200) % 4)
    return file


def edited(content: bytes, edit) -> bytes:
    model = onnx.load_model_from_string(content)
    edit(model)
    return model.SerializeToString()


def without_normalisation(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            node.op_type = "Identity"
            del node.input[1:]


def with_unknown_operators(model: onnx.ModelProto) -> None:
    """onnxruntime has a product of its own, here with one, which the reading does not know."""
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(8, dtype=np.float32), "one"))
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type, node.domain, node.name = "FusedMatMul", "com.microsoft", f"odd {node.output[0]}"
            node.input.append("one")


def with_a_second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("gain", TensorProto.FLOAT, [1]))
    model.graph.node.append(helper.make_node("Mul", ["logits", "gain"], ["scaled"]))
    model.graph.output[0].name = "scaled"


def with_rows_that_mix(model: onnx.ModelProto) -> None:
    """Each row's scores depend on who else is in the batch."""
    model.graph.node.append(helper.make_node("ReduceMean", ["logits"], ["middle"], axes=[0], keepdims=1))
    model.graph.node.append(helper.make_node("Sub", ["logits", "middle"], ["centred"]))
    model.graph.output[0].name = "centred"


def problems(document: dict) -> set[str]:
    return {name for name in SECTIONS if "problem" in document[name]}


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_exit_status_is_that_of_registering(diagnose, invoke, tmp_path, tiny_onnx, variant) -> None:
    document, status = diagnose(VARIANTS[variant](tiny_onnx))
    registered = invoke("register", tmp_path / "patient.onnx", "--name", "patient")

    assert registered.exit_code == status
    assert document["registrable"] is (status == 0)


def test_the_file_and_its_interface_are_what_onnx_says(diagnose, tiny_onnx) -> None:
    document, status = diagnose(tiny_onnx)

    assert 0 == status
    assert set() == problems(document)
    assert hashlib.sha256(tiny_onnx).hexdigest() == document["sha256"]
    model = onnx.load_model_from_string(tiny_onnx)
    stored = sum(onnx.numpy_helper.to_array(tensor).size for tensor in model.graph.initializer)
    assert (len(model.graph.node), stored) == (document["file"]["nodes"], document["file"]["parameters"])
    assert {"": 17} == document["file"]["opsets"]
    assert ("image", "NCHW", None) == tuple(document["input"][key] for key in ("name", "layout", "rows"))
    assert ("logits", 4, "logits") == tuple(document["outputs"][key] for key in ("scores", "classes", "kind"))


def test_taps_are_reserved_as_registration_reserves_them(diagnose, tiny_onnx, images, tiny) -> None:
    document, _ = diagnose(tiny_onnx, "--source", images)

    taps = document["taps"]["taps"]
    assert tiny.manifest.reserved_taps() == tuple(tap["name"] for tap in taps if tap["reserved"])
    assert [tap.channels for tap in tiny.manifest.taps] == [tap["channels"] for tap in taps]
    assert ("full", "batchnorm") == (document["taps"]["fingerprint"], document["taps"]["without_images"])
    assert "full" == document["registration"]["fingerprint"]


def test_folded_normalisation_needs_source_images(diagnose, tiny_onnx, images) -> None:
    folded = edited(tiny_onnx, without_normalisation)

    alone, refused = diagnose(folded)
    with_images, accepted = diagnose(folded, "--source", images)

    assert (1, 0) == (refused, accepted)
    assert {"registration"} == problems(alone)
    assert "--source" in alone["registration"]["problem"]
    assert ("none", 0) == (alone["taps"]["fingerprint"], alone["taps"]["batchnorm"])
    assert "full" == with_images["taps"]["fingerprint"]


def test_a_model_without_a_convolution_has_nothing_to_compare(diagnose) -> None:
    flat = helper.make_node("GlobalAveragePool", ["image"], ["pool"]), helper.make_node("Flatten", ["pool"], ["scores"])
    graph = helper.make_graph(
        flat,
        "pooled",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    document, status = diagnose(model.SerializeToString())

    assert (1, []) == (status, document["taps"]["taps"])
    assert ["gradient"] == [name for name in SECTIONS if document[name] == {"problem": "see taps", "examined": False}]
    assert document["parity"]["outputs_error"] <= document["parity"]["tolerance"]


def test_what_a_normalisation_reads_is_a_tap_whatever_stands_before_it(diagnose, tiny_onnx) -> None:
    def interpose(model: onnx.ModelProto) -> None:
        for index, node in reversed(list(enumerate(model.graph.node))):
            if node.op_type == "BatchNormalization":
                behind = helper.make_node("Relu", [node.input[0]], [f"between{index}"])
                node.input[0] = behind.output[0]
                model.graph.node.insert(index, behind)

    document, _ = diagnose(edited(tiny_onnx, interpose))

    assert (3, 3) == (document["taps"]["batchnorm_nodes"], document["taps"]["batchnorm"])
    assert 6 == len(document["taps"]["taps"])


def test_what_a_weaker_fingerprint_cannot_do_is_said(invoke, tmp_path, tiny_onnx) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(tiny_onnx)

    shown = invoke("doctor", file, "--quick").stdout

    assert "class-conditional moments (label shift)" in shown
    assert "--source" in shown


def test_all_nodes_that_cannot_be_read_are_named_and_the_other_sections_stand(invoke, tmp_path, tiny_onnx) -> None:
    file = tmp_path / "odd.onnx"
    file.write_bytes(edited(tiny_onnx, with_unknown_operators))

    shown = invoke("doctor", file)
    document = json.loads(invoke("doctor", file, "--json").stdout)

    assert 1 == shown.exit_code
    assert all(f"'odd relu{index}'" in shown.stdout for index in range(3))
    assert ["odd relu0", "odd relu1", "odd relu2"] == [each["node"] for each in document["operators"]["refusals"]]
    assert {"parity", "gradient", "registration"} == problems(document)
    assert 3 == len(document["taps"]["taps"])
    assert document["batches"]["exact"] is True
    assert "problem" not in document["speed"]


def test_what_does_not_come_through_its_trial_is_not_run_here(diagnose, tiny_onnx) -> None:
    def experiment(model: onnx.ModelProto) -> None:
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        model.graph.node[-1].op_type, model.graph.node[-1].domain = "SampleOp", "com.microsoft"
        del model.graph.node[-1].input[1:], model.graph.node[-1].attribute[:]

    document, status = diagnose(edited(tiny_onnx, experiment))

    assert 1 == status
    assert "SampleOp" in document["outputs"]["problem"]
    assert document["outputs"]["problem"] == document["registration"]["problem"]
    assert {"problem": "see outputs", "examined": False} == document["batches"]
    assert ["com.microsoft::SampleOp"] == [each["operator"] for each in document["operators"]["refusals"]]


def test_damaged_bytes_have_a_hash_and_nothing_else(diagnose, tiny_onnx) -> None:
    content = tiny_onnx[: len(tiny_onnx) // 2]

    document, status = diagnose(content)

    assert 1 == status
    assert set(SECTIONS) == problems(document)
    assert hashlib.sha256(content).hexdigest() == document["sha256"]
    assert ["file"] == [name for name in SECTIONS if document[name]["examined"]]


def test_two_inputs_are_refused_by_name(diagnose, tiny_onnx) -> None:
    document, status = diagnose(edited(tiny_onnx, with_a_second_input))

    assert 1 == status
    assert "'image', 'gain'" in document["input"]["problem"]
    assert "problem" not in document["file"]


def test_an_open_size_asks_for_one(diagnose, tiny_onnx) -> None:
    content = VARIANTS["open size"](tiny_onnx)

    asked, _ = diagnose(content)
    told, status = diagnose(content, "--size", "8x8")

    assert "--size" in asked["input"]["problem"]
    assert (0, True) == (status, told["input"]["size_open"])


def test_half_precision_has_the_tolerance_of_half_precision(diagnose, tiny_onnx) -> None:
    single, half = (diagnose(content)[0]["parity"] for content in (tiny_onnx, VARIANTS["float16"](tiny_onnx)))

    assert single["tolerance"] < half["tolerance"]
    assert 0 < half["taps_error"] <= half["tolerance"]


def test_the_gradient_reaches_every_value_of_the_input(diagnose, tiny_onnx) -> None:
    document, _ = diagnose(tiny_onnx)

    assert (True, 1.0) == (document["gradient"]["finite"], document["gradient"]["nonzero"])
    assert (64, 64) == (document["gradient"]["images"], document["gradient"]["batch"])


def test_callers_whose_rows_mix_do_not_share_runs(diagnose, tiny_onnx) -> None:
    apart, _ = diagnose(tiny_onnx)
    mixed, _ = diagnose(edited(tiny_onnx, with_rows_that_mix))

    assert (True, False) == (apart["batches"]["exact"], mixed["batches"]["exact"])


def test_fixed_rows_are_said_to_be_filled_up(invoke, tmp_path, tiny_onnx) -> None:
    file = tmp_path / "three.onnx"
    file.write_bytes(VARIANTS["three rows"](tiny_onnx))

    assert "filled up to 3 rows" in invoke("doctor", file, "--quick").stdout


def test_the_shipped_model_has_every_table(invoke) -> None:
    done = invoke("doctor", shipped_models() / "digits" / "model.onnx", "--json")

    document = json.loads(done.stdout)
    speed = document["speed"]
    assert 0 == done.exit_code
    assert {1, PROCESSORS} <= {row["threads"] for row in speed["threads"]["speeds"]}
    assert speed["threads"]["best"] in {row["threads"] for row in speed["threads"]["speeds"]}
    assert {stage.name for stage in known_stages()} == {row["name"] for row in speed["stages"]}
    assert sum(row["parameters"] for row in speed["stages"]) == speed["together"]["parameters"]


def test_the_table_on_the_terminal_has_the_operators_of_the_document(invoke, diagnose, tmp_path, tiny_onnx) -> None:
    document, _ = diagnose(tiny_onnx)

    lines = [line.split() for line in invoke("doctor", tmp_path / "patient.onnx", "--quick").stdout.splitlines()]

    for use in document["operators"]["uses"]:
        assert [use["operator"], str(use["version"]), str(use["nodes"]), "yes", use["gradient"]] in lines


def test_every_file_of_the_stages_is_found() -> None:
    files = {file.stem for file in Path(trainer.stages.__file__).parent.glob("[a-z]*.py")}

    assert files == {stage.name for stage in known_stages()}


class Clock:
    """Stands still but for the tasks that take time of it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def task(self, name: str, *seconds: float):
        left = iter(seconds)

        def run() -> None:
            self.calls.append(name)
            self.now += next(left)

        return run


def test_things_that_are_timed_take_turns_and_the_first_round_does_not_count() -> None:
    clock = Clock()
    tasks = {"a": clock.task("a", 50, 1, 9, 2), "b": clock.task("b", 50, 5, 5, 5)}

    taken = in_turns(tasks, budget_s=0.0, fewest=4, clock=lambda: clock.now)

    assert list("abababab") == clock.calls
    assert {"a": 2, "b": 5} == taken


def test_timing_goes_on_while_another_round_fits_into_the_budget() -> None:
    clock = Clock()

    in_turns({"a": clock.task("a", *[2.0] * 9)}, budget_s=9.0, fewest=1, clock=lambda: clock.now)

    assert 4 == len(clock.calls)


def test_a_single_round_of_something_slow_counts() -> None:
    clock = Clock()

    assert {"a": 7} == in_turns({"a": clock.task("a", 7)}, budget_s=1.0, fewest=1, clock=lambda: clock.now)


def test_nothing_is_written(invoke, tmp_path, tiny_onnx) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(tiny_onnx)

    invoke("doctor", file, "--quick")

    assert [file] == list(tmp_path.iterdir())
