"""The two exporters of torch, with the options that change what a file holds.

Nothing is read here. An export that torch itself refuses is an `ExportFailed`: no fault of the reading.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from trainer.studies.zoo import ARCHITECTURES

Exporter = Literal["tracing", "torch.export"]
OpenAxes = Literal["none", "batch", "batch and size"]

OPSETS: dict[Exporter, range] = {"tracing": range(13, 21), "torch.export": range(18, 22)}
USUAL_OPSET: dict[Exporter, int] = {"tracing": 17, "torch.export": 18}
ROWS = 2
"""Pictures in the example batch, and in every batch of a file whose batch size is fixed."""


class ExportFailed(Exception):
    """Torch does not write this network this way."""


@dataclass(frozen=True)
class Export:
    """One way to write a network.

    Attributes:
        exporter: `dynamo=False` is "tracing", `dynamo=True` is "torch.export".
        opset: of the standard operators.
        axes: which sizes of the input the file leaves open.
        keep_norms: switch off what folds BatchNormalization into the convolution before it.
    """

    exporter: Exporter
    opset: int
    axes: OpenAxes = "batch"
    keep_norms: bool = False


def ways(architecture: str, *, quick: bool = False) -> tuple[Export, ...]:
    """Every opset with an open batch; at the usual opset also the other open axes and the surviving normalisations.

    Quick is each exporter once, at its usual opset.
    """
    if quick:
        return tuple(Export(exporter, opset) for exporter, opset in USUAL_OPSET.items())
    found = []
    for exporter, opset in USUAL_OPSET.items():
        oldest = max(OPSETS[exporter].start, ARCHITECTURES[architecture].oldest_opset)
        found += [Export(exporter, opset) for opset in range(oldest, OPSETS[exporter].stop)]
        found.append(Export(exporter, opset, "none"))
        if ARCHITECTURES[architecture].open_size:
            found.append(Export(exporter, opset, "batch and size"))
        found.append(Export(exporter, opset, keep_norms=True))
    return tuple(found)


def export(net: nn.Module, shape: tuple[int, int, int], way: Export) -> bytes:
    """The content of one .onnx file. Raises ExportFailed with torch's reason."""
    example = torch.zeros(ROWS, *shape)
    write = _by_tracing if way.exporter == "tracing" else _by_torch_export
    with _without_fused_attention(), warnings.catch_warnings():
        # The tracing exporter announces its own end and warns of constants; torch.export uses what torch deprecated.
        warnings.simplefilter("ignore")
        try:
            return write(net, example, way)
        except Exception as error:  # The exporters have no common class of errors.
            raise ExportFailed(f"{way}: {str(error).strip().partition(chr(10))[0]}") from error


@contextmanager
def _without_fused_attention() -> Iterator[None]:
    """No exporter can write the kernel that nn.MultiheadAttention takes where no weight needs a gradient."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _by_tracing(net: nn.Module, example: torch.Tensor, way: Export) -> bytes:
    open_axes = {"none": {}, "batch": {0: "n"}, "batch and size": {0: "n", 2: "height", 3: "width"}}[way.axes]
    # In mode EVAL the exporter folds, whatever it is told about constants.
    mode = torch.onnx.TrainingMode.PRESERVE if way.keep_norms else torch.onnx.TrainingMode.EVAL
    content = io.BytesIO()
    torch.onnx.export(
        net,
        (example,),
        content,  # type: ignore[arg-type]  # torch's types leave out what its documentation allows: a buffer
        input_names=["image"],
        output_names=["scores"],
        opset_version=way.opset,
        dynamic_axes={"image": open_axes},
        training=mode,
        do_constant_folding=not way.keep_norms,
        dynamo=False,
    )
    return content.getvalue()


def _by_torch_export(net: nn.Module, example: torch.Tensor, way: Export) -> bytes:
    automatic = torch.export.Dim.AUTO
    open_axes = {"none": (), "batch": (0,), "batch and size": (0, 2, 3)}[way.axes]
    program = torch.onnx.export(
        net,
        (example,),
        input_names=["image"],
        output_names=["scores"],
        opset_version=way.opset,
        dynamic_shapes=(dict.fromkeys(open_axes, automatic),),
        optimize=not way.keep_norms,
        external_data=False,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())
