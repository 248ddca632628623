"""Models that registration would not make: the tiny one with another output, and a manifest that fits it badly."""

import onnx
from onnx import NodeProto, TensorProto, helper

from service.contract.bundle import Bundle, describe
from service.contract.digest import sha256_hex
from service.contract.manifest import ModelManifest

NAME = "forged"


def with_output(
    tiny: Bundle[ModelManifest], *nodes: NodeProto, rows: int | None = None, scores: str = "logits"
) -> Bundle[ModelManifest]:
    """The tiny model under another name, with an output `extra` that `nodes` make.

    Args:
        rows: of every run, fixed by the file; None leaves them open.
        scores: the output that the manifest says holds the class scores.
    """
    model = onnx.load_model_from_string(tiny.files["model.onnx"])
    model.graph.node.extend(nodes)
    model.graph.output.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, None))
    if rows is not None:
        for value in (model.graph.input[0], model.graph.output[0]):
            value.type.tensor_type.shape.dim[0].dim_value = rows
    files = {**tiny.files, "model.onnx": model.SerializeToString()}
    manifest = tiny.manifest.model_copy(
        update={
            "name": NAME,
            "frozen_sha256": sha256_hex(files["model.onnx"]),
            "input": tiny.manifest.input.model_copy(update={"batch": rows}),
            "output": tiny.manifest.output.model_copy(update={"name": scores}),
            "files": describe(files),
        }
    )
    return Bundle(sha256_hex(manifest.to_bytes()), manifest, files)
