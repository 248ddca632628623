"""What can be wrong with a frozen model.

FrozenError
├── UnsupportedModel      the file cannot be read here: malformed, external data, several inputs, unknown opset
├── UnsupportedOperator   one node needs an operator, version, attribute value or output that the table does not compute
├── UnknownTap            a tensor was asked for that the graph does not compute or that was not declared when loading
├── InputMismatch         a batch does not have the shape that the file declares
└── ParityError           the differentiable reading and onnxruntime disagree
"""


class FrozenError(Exception):
    """Anything that keeps a frozen model from being read or run."""


class UnsupportedModel(FrozenError):
    """The file as a whole cannot be read."""


class UnsupportedOperator(FrozenError):
    """One node needs what no entry of the operator table computes."""


class UnknownTap(FrozenError):
    """No such tensor, or not declared as a tap when the model was loaded."""


class InputMismatch(FrozenError):
    """A batch does not fit the frozen model's input."""


class ParityError(FrozenError):
    """The differentiable reading differs from onnxruntime.

    Attributes:
        tensor: name of the output or tap that differs most.
        relative_error: max|a - b| / max(1e-6, max|b|), b from onnxruntime; infinite if shapes or types differ.
        tolerance: what was allowed.
    """

    def __init__(self, tensor: str, relative_error: float, tolerance: float, detail: str = "") -> None:
        """State the disagreement in one sentence."""
        super().__init__(
            f"tensor {tensor!r} differs from onnxruntime: max relative error {relative_error:.3g}, "
            f"allowed {tolerance:.3g}{f' ({detail})' if detail else ''}; do not fit against this reading, report the "
            f"operators that lead to this tensor"
        )
        self.tensor = tensor
        self.relative_error = relative_error
        self.tolerance = tolerance
