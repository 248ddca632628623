"""What a file says of its input and outputs, and what only its user can add: value range, layout, size, which scores.

Nothing is computed here. What does not fit is refused with the name of the tensor and the option that would help.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import onnx

from service.contract.errors import WrongInterface
from service.contract.graph_rules import only_input
from service.contract.input_spec import InputSpec
from trainer.datasets import PICTURE_CHANNELS

Layout = Literal["NCHW", "NHWC"]
Dtype = Literal["float32", "float16", "uint8"]

DTYPES: dict[int, Dtype] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.UINT8: "uint8",
}


class RegistrationError(Exception):
    """The model cannot be registered; the message says why and what would help."""


@dataclass(frozen=True)
class Normalisation:
    """How pixels become the model's input, see `InputSpec`; bounds are 0 and 1 by default, 0 and 255 for uint8."""

    bounds: tuple[float, float] | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class Declared:
    """The only input as the file declares it; None where it leaves a size open."""

    name: str
    dtype: Dtype
    sides: tuple[int | None, int | None, int | None, int | None]

    @property
    def shown(self) -> str:
        """The shape in a message."""
        return f"({', '.join('open' if side is None else str(side) for side in self.sides)})"

    def layout(self) -> Layout:
        """Channels last if only the last side can be a picture's channels."""
        first, last = (side in PICTURE_CHANNELS for side in (self.sides[1], self.sides[3]))
        return "NHWC" if last and not first else "NCHW"


def read_declared(content: bytes) -> Declared:
    """The input of a model file.

    Raises:
        RegistrationError: several inputs, an element type that no picture has, or not four sides.
    """
    try:
        entry = only_input(onnx.load_model_from_string(content))
    except WrongInterface as error:
        raise RegistrationError(str(error)) from error
    name, tensor = entry.name, entry.type.tensor_type
    if tensor.elem_type not in DTYPES:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        raise RegistrationError(f"input '{name}' is {kind}; {', '.join(DTYPES.values())} can be corrected")
    sides = [dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim]
    if len(sides) != 4:
        raise RegistrationError(
            f"input '{name}' has {len(sides)} sides; pictures have four, (n, C, H, W) or (n, H, W, C)"
        )
    return Declared(name, DTYPES[tensor.elem_type], (sides[0], sides[1], sides[2], sides[3]))


def is_open(content: bytes) -> bool:
    """Whether the file leaves a size of its pictures open. Raises RegistrationError as `read_declared`."""
    return None in read_declared(content).sides[1:]


def read_input_spec(
    content: bytes,
    normalisation: Normalisation,
    *,
    layout: Layout | None = None,
    size: tuple[int, int] | None = None,
) -> InputSpec:
    """The model's only input.

    Args:
        layout: guessed from where the channels can be, if not given.
        size: height and width to work with, where the file leaves them open.

    Raises:
        RegistrationError: see `read_declared`; or the channels are open, or the size is open and not given, or given
            and another than the file's.
    """
    declared = read_declared(content)
    layout = layout or declared.layout()
    rows, *item = declared.sides
    channels, height, width = item if layout == "NCHW" else (item[2], item[0], item[1])
    if channels is None:
        raise RegistrationError(
            f"input '{declared.name}' {declared.shown} leaves its channels open ({layout}); export it with them fixed"
        )
    return InputSpec(
        name=declared.name,
        dtype=declared.dtype,
        layout=layout,
        shape=(channels, *_working_size(declared, (height, width), size)),
        batch=rows,
        bounds=normalisation.bounds or ((0.0, 255.0) if declared.dtype == "uint8" else (0.0, 1.0)),
        mean=normalisation.mean,
        std=normalisation.std,
    )


def _working_size(
    declared: Declared, stored: tuple[int | None, int | None], given: tuple[int, int] | None
) -> tuple[int, int]:
    """The file's height and width, with what it leaves open filled in from `given`."""
    height, width = (side or (given[axis] if given else None) for axis, side in enumerate(stored))
    if height is None or width is None:
        raise RegistrationError(
            f"input '{declared.name}' {declared.shown} leaves height or width open; name the size that the model will "
            "be served at with --size HEIGHTxWIDTH, or give --source images, which have one"
        )
    if given is not None and given != (height, width):
        raise RegistrationError(
            f"input '{declared.name}' {declared.shown} has the size {height}x{width}, not {given[0]}x{given[1]}; "
            "leave --size out"
        )
    return height, width


def choose_scores(shapes: Mapping[str, tuple[int, ...]], *, wanted: str | None, rows: int) -> str:
    """The output with the class scores: the one that is wanted, else the first that is (n, classes).

    Args:
        shapes: of all outputs for one batch, in the file's order; sides of 1 behind the classes do not count.
        rows: of that batch.

    Raises:
        RegistrationError: there is no such output, or it has another shape.
    """
    known = ", ".join(f"'{name}' {shape}" for name, shape in shapes.items())
    if wanted is not None:
        if wanted not in shapes:
            raise RegistrationError(f"the model has no output '{wanted}'; its outputs are {known}")
        if not _is_scores(shapes[wanted], rows):
            raise RegistrationError(f"output '{wanted}' has shape {shapes[wanted]}; (n, classes) is needed")
        return wanted
    candidates = [name for name, shape in shapes.items() if _is_scores(shape, rows)]
    if not candidates:
        raise RegistrationError(
            f"no output is (n, classes); the model's outputs are {known}; export the class scores before they become "
            "labels or maps, maps and single numbers cannot be judged yet"
        )
    return candidates[0]


def _is_scores(shape: tuple[int, ...], rows: int) -> bool:
    return len(shape) >= 2 and shape[0] == rows and shape[1] > 1 and all(side == 1 for side in shape[2:])
