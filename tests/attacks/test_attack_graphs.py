"""Hostile ONNX files, judged on their bytes: each is refused for what is wrong with it, before onnxruntime sees it."""

import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx
import onnxruntime as ort
import pytest

from service.contract.errors import (
    DamagedTensor,
    ExternalData,
    ForeignOperator,
    GraphError,
    GraphTooLarge,
    UnreadableGraph,
    WrongInterface,
)
from service.contract.graph_rules import CORRECTOR, FROZEN_MODEL, check_graph
from service.engine.session import OnnxSession, SessionError
from tests.attacks.hostile_graphs import (
    BEYOND_CORRECTORS,
    DAMAGED,
    EXTERNAL,
    FOREIGN,
    MISSHAPEN,
    TOO_LARGE,
    UNREADABLE,
    doubling,
    nested,
    with_nodes,
)

KINDS: Mapping[type[GraphError], Mapping[str, bytes]] = {
    ExternalData: EXTERNAL,
    GraphTooLarge: TOO_LARGE,
    DamagedTensor: DAMAGED,
    ForeignOperator: FOREIGN,
    WrongInterface: MISSHAPEN,
    UnreadableGraph: UNREADABLE,
}
ATTACKS = [
    pytest.param(content, kind, id=f"{kind.__name__}-{name}")
    for kind, attacks in KINDS.items()
    for name, content in attacks.items()
]


def test_the_graph_that_the_attacks_begin_with_is_sound() -> None:
    content = doubling().SerializeToString()

    assert [check_graph(content, rules).graph.name for rules in (FROZEN_MODEL, CORRECTOR)] == ["main", "main"]


@pytest.mark.parametrize(("content", "kind"), ATTACKS)
def test_a_hostile_frozen_model_is_refused(content: bytes, kind: type[GraphError]) -> None:
    with pytest.raises(kind):
        check_graph(content, FROZEN_MODEL)


@pytest.mark.parametrize(("content", "kind"), ATTACKS)
def test_a_hostile_corrector_is_refused(content: bytes, kind: type[GraphError]) -> None:
    # A corrector's own, smaller lists and caps may speak first.
    with pytest.raises(GraphError):
        check_graph(content, CORRECTOR)


@pytest.mark.parametrize("content", BEYOND_CORRECTORS.values(), ids=BEYOND_CORRECTORS.keys())
def test_what_a_frozen_model_may_hold_is_refused_in_a_corrector(content: bytes) -> None:
    check_graph(content, FROZEN_MODEL)

    with pytest.raises(GraphError):
        check_graph(content, CORRECTOR)


def test_what_is_refused_as_another_format_is_onnx_to_protobuf() -> None:
    seen = onnx.load_model_from_string(UNREADABLE["onnxruntimes_own_format_as_well"])

    assert [node.op_type for node in seen.graph.node] == ["Mul"]


def test_onnxruntimes_own_format_is_not_loaded_by_a_session(tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(doubling().SerializeToString(), options, providers=["CPUExecutionProvider"])
    content = (tmp_path / "model.ort").read_bytes()
    assert ort.InferenceSession(content, providers=["CPUExecutionProvider"]).get_inputs()[0].name == "x"

    with pytest.raises(SessionError):
        OnnxSession(content, threads=1)


def test_external_data_is_found_wherever_it_is_and_the_message_says_where() -> None:
    with pytest.raises(
        ExternalData, match=r"tensor 'secret' in node 'reader' \(Constant\).*save_as_external_data=False"
    ):
        check_graph(EXTERNAL["attribute_in_a_sub_graph"], FROZEN_MODEL)


def test_nesting_may_reach_its_cap_and_no_deeper() -> None:
    check_graph(nested(FROZEN_MODEL.max_depth), FROZEN_MODEL)

    with pytest.raises(GraphTooLarge, match="at most 8 deep"):
        check_graph(nested(FROZEN_MODEL.max_depth + 1), FROZEN_MODEL)


def test_nodes_are_counted_in_sub_graphs_too() -> None:
    content = nested(3)

    # An If and an Identity, for each of three levels; the Identity of each other branch; the doubling.
    check_graph(content, replace(FROZEN_MODEL, max_nodes=10))
    with pytest.raises(GraphTooLarge, match="more than 9 nodes"):
        check_graph(content, replace(FROZEN_MODEL, max_nodes=9))


def test_a_file_larger_than_its_cap_is_not_even_parsed() -> None:
    content = with_nodes()

    with pytest.raises(GraphTooLarge, match=f"has {len(content)} bytes; a model has at most {len(content) - 1}"):
        check_graph(content, replace(FROZEN_MODEL, max_bytes=len(content) - 1))


@pytest.mark.parametrize("name", ["tensor_of_a_trillion_and_one_byte", "sparse_of_a_trillion", "constant_of_shape"])
def test_a_claim_of_a_terabyte_costs_no_memory(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(GraphTooLarge):
            check_graph(TOO_LARGE[name], FROZEN_MODEL)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 1 << 20
