"""Rows for functions of one number, activations and arithmetic."""

import numpy as np
from frozen_case import LEFT_OUT, Case, X, ints, normal, scalar

MATRIX = (3, 4)
CUBE = (2, 3, 4)

ANYWHERE = ("Abs", "Neg", "Exp", "Erf", "Ceil", "Floor", "Round", "Sign", "Sin", "Cos", "Atan", "Sinh", "Cosh", "Asinh")
WITHIN: dict[str, tuple[float, float]] = {
    "Sqrt": (0.2, 3.0),
    "Log": (0.2, 3.0),
    "Reciprocal": (0.2, 3.0),
    "Tan": (-1.2, 1.2),
    "Asin": (-0.9, 0.9),
    "Acos": (-0.9, 0.9),
    "Atanh": (-0.9, 0.9),
    "Acosh": (1.2, 3.0),
}
FUNCTIONS = [
    *(Case(name, "cube", CUBE) for name in ANYWHERE),
    *(Case(name, "where-defined", CUBE, bounds=bounds) for name, bounds in WITHIN.items()),
    Case("Round", "halves-to-even", MATRIX, (np.arange(-2.5, 3.0, 0.5, dtype=np.float32),), smooth=False),
    Case("Sign", "zero", MATRIX, (np.array([-1.5, 0.0, 2.0], np.float32),), smooth=False),
]

ACTIVATIONS = [
    *(Case(name, "cube", CUBE) for name in ("Relu", "Sigmoid", "Tanh", "HardSigmoid", "LeakyRelu")),
    *(Case(name, "cube", CUBE) for name in ("Elu", "Celu", "Selu", "Gelu", "Mish", "Swish", "Softplus", "Softsign")),
    Case("HardSwish", "both-knees", CUBE, bounds=(-5.0, 5.0)),
    Case("HardSigmoid", "slope-shift", CUBE, attributes={"alpha": 0.7, "beta": 0.3}),
    Case("LeakyRelu", "slope", CUBE, attributes={"alpha": 0.3}),
    Case("Elu", "slope", CUBE, attributes={"alpha": 0.3}),
    Case("Celu", "slope", CUBE, attributes={"alpha": 0.3}),
    Case("Selu", "slope-gain", CUBE, attributes={"alpha": 0.3, "gamma": 2.0}),
    Case("Gelu", "tanh", CUBE, attributes={"approximate": "tanh"}),
    Case("Swish", "slope", CUBE, attributes={"alpha": 0.3}),
    Case("Softplus", "far", CUBE, bounds=(-60.0, 60.0)),
    Case("ThresholdedRelu", "default", CUBE),
    Case("ThresholdedRelu", "below-zero", CUBE, attributes={"alpha": -0.5}),
    Case("Shrink", "default", CUBE),
    Case("Shrink", "knee-bias", CUBE, attributes={"lambd": 0.8, "bias": 0.3}),
    Case("PRelu", "slope-per-channel", CUBE, (X, normal(3, 1))),
    Case("PRelu", "one-slope", CUBE, (X, normal(1))),
    Case("PRelu", "slope-is-the-input", (3, 1), (normal(2, 3, 4), X)),
    *(Case("Hardmax", f"axis-{axis}", CUBE, attributes={"axis": axis}, smooth=False) for axis in (0, 1, 2)),
    Case("Hardmax", "default", CUBE, smooth=False),
    Case("Hardmax", "first-of-equals", CUBE, (np.ones(CUBE, np.float32),), smooth=False),
    Case("Clip", "attributes", CUBE, attributes={"min": -0.5, "max": 1.0}, versions=(6,)),
    Case("Clip", "attribute-above", CUBE, attributes={"max": 1.0}, versions=(6,)),
    Case("Clip", "inputs", CUBE, (X, scalar(-0.5), scalar(1.0)), versions=(11, 12, 13)),
    Case("Clip", "input-above", CUBE, (X, LEFT_OUT, scalar(1.0)), versions=(11, 12, 13)),
    Case("Clip", "input-below", CUBE, (X, scalar(0.0)), versions=(11, 12, 13)),
    Case("Clip", "unbounded", CUBE, versions=(11, 12, 13)),
    *(
        Case(name, f"axis-{axis}", (2, 3, 4), attributes={"axis": axis})
        for name in ("Softmax", "LogSoftmax")
        for axis in (0, 1, 2)
    ),
    Case("Softmax", "default", CUBE),
    Case("LogSoftmax", "default", CUBE),
    Case("Softmax", "axis-from-end", CUBE, attributes={"axis": -2}, versions=(11, 13)),
]

ARITHMETIC = [
    *(Case(name, "same-shape", CUBE, (X, normal(*CUBE) + 3.0)) for name in ("Add", "Sub", "Mul", "Div")),
    *(Case(name, "broadcast", CUBE, (normal(3, 1), X)) for name in ("Add", "Sub", "Mul")),
    Case("Div", "broadcast", CUBE, (normal(3, 1), X), bounds=(0.5, 2.0)),
    *(Case(name, "with-itself", CUBE, (X, X)) for name in ("Add", "Sub", "Mul")),
    Case("Pow", "square", CUBE, (X, scalar(2.0))),
    Case("Pow", "fraction", CUBE, (X, normal(4)), bounds=(0.5, 2.0)),
    Case("Pow", "integer-exponent", CUBE, (X, ints(3)), versions=(12, 13, 15)),
    Case("Pow", "exponent-is-the-input", CUBE, (np.abs(normal(4)) + 0.5, X)),
    Case("Mod", "as-c-has-it", CUBE, (X, scalar(0.7)), {"fmod": 1}),
    *(Case(name, "three", CUBE, (X, normal(3, 1), normal(4)), versions=(8, 12, 13)) for name in ("Max", "Min")),
    *(Case(name, "three", CUBE, (X, normal(3, 1), normal(4)), versions=(8, 13)) for name in ("Sum", "Mean")),
    *(Case(name, "one", CUBE) for name in ("Max", "Min", "Sum", "Mean")),
    *(Case(name, "same-shape", CUBE, (normal(*CUBE), X)) for name in ("Max", "Min", "Sum", "Mean")),
]

SEVENS, TWOS = ints(-7, 7, -7, 7), ints(2, -2, -2, 2)
INTEGERS = [
    *(Case(name, "integers", MATRIX, (SEVENS, TWOS), smooth=False) for name in ("Add", "Sub", "Mul", "Div")),
    Case("Pow", "integer-base", MATRIX, (ints(2, 3), scalar(1.5)), versions=(12, 13, 15), smooth=False),
    Case("Mod", "sign-of-divisor", MATRIX, (SEVENS, ints(3, -3, -3, 3)), smooth=False),
    Case("Mod", "sign-of-dividend", MATRIX, (SEVENS, ints(3, -3, -3, 3)), {"fmod": 1}, smooth=False),
    Case("Abs", "integers", MATRIX, (SEVENS,), smooth=False),
    *(Case(name, "integers", MATRIX, (SEVENS, TWOS), versions=(12, 13), smooth=False) for name in ("Max", "Min")),
]

CASES = [*FUNCTIONS, *ACTIVATIONS, *ARITHMETIC, *INTEGERS]
