"""Ordering, pruning and dropping, on drawn graphs of nameless nodes."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.frozen.errors import UnsupportedModel
from trainer.frozen.graph import ancestors, last_uses, sort_nodes
from trainer.frozen.node import Node


def _node(inputs: list[str], outputs: list[str]) -> Node:
    return Node("-".join(outputs), "", "Sum", 17, 13, tuple(inputs), tuple(outputs), {})


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    """Nodes in topological order; each reads up to three of "x" and earlier tensors and makes one or two."""
    tensors, nodes = ["x"], []
    for i in range(draw(st.integers(1, 12))):
        inputs = draw(st.lists(st.sampled_from([*tensors, ""]), max_size=3))
        outputs = [f"t{i}", f"u{i}"][: draw(st.integers(1, 2))]
        nodes.append(_node(inputs, outputs))
        tensors += outputs
    return nodes


def _evaluate(nodes: tuple[Node, ...], targets: set[str], drops: tuple[tuple[str, ...], ...]) -> dict[str, object]:
    """Run the graph on nested tuples instead of tensors: a value is its own derivation."""
    values: dict[str, object] = {"x": "x"}
    for node, drop in zip(nodes, drops, strict=True):
        read = tuple(values[name] for name in node.inputs if name)
        values.update({name: (name, read) for name in node.outputs})
        for name in drop:
            del values[name]
    assert set(values) == targets | {"x"}
    return values


@settings(max_examples=150, deadline=None, derandomize=True)
@given(graphs(), st.data())
def test_pruned_and_dropped_graph_computes_the_same_targets(nodes: list[Node], data: st.DataObject) -> None:
    made = sorted(name for node in nodes for name in node.outputs)
    targets = set(data.draw(st.lists(st.sampled_from(made), unique=True)))
    everything = _evaluate(tuple(nodes), set(made), ((),) * len(nodes))

    kept = ancestors(nodes, targets)
    pruned = _evaluate(kept, targets, last_uses(kept, keep=targets))

    assert {name: pruned[name] for name in targets} == {name: everything[name] for name in targets}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(graphs(), st.randoms(use_true_random=False))
def test_any_file_order_sorts_into_an_order_that_can_be_computed(nodes: list[Node], random: Random) -> None:
    shuffled = list(nodes)
    random.shuffle(shuffled)

    ordered = sort_nodes(shuffled, available={"x"}, outputs=[])

    seen = {"x", ""}
    for node in ordered:
        assert seen.issuperset(node.inputs)
        seen.update(node.outputs)
    assert set(ordered) == set(nodes)


def test_sorted_file_keeps_its_order() -> None:
    nodes = [_node(["x"], ["b"]), _node(["x"], ["a"]), _node(["a", "b"], ["c"])]

    assert sort_nodes(nodes, available={"x"}, outputs=["c"]) == tuple(nodes)


def test_cycle_is_refused() -> None:
    nodes = [_node(["x", "b"], ["a"]), _node(["a"], ["b"])]

    with pytest.raises(UnsupportedModel, match=r"waits for \['b'\]"):
        sort_nodes(nodes, available={"x"}, outputs=["b"])
