"""Rows for comparisons, truth values and bits."""

import numpy as np
from frozen_case import Case, X, ints, normal, scalar

CUBE = (2, 3, 4)
SEVENS, TWOS = ints(-7, 7, 2, -2), ints(2, -2, 2, -2)
TRUTHS, LIES = np.array([True, True, False, False]), np.array([True, False, True, False])
ODD_ONES = np.array([1.0, np.inf, -np.inf, np.nan], np.float32)

COMPARING = ("Less", "LessOrEqual", "Greater", "GreaterOrEqual")

COMPARISONS = [
    Case("Equal", "integers", CUBE, (SEVENS, TWOS), smooth=False),
    Case("Equal", "truths", CUBE, (TRUTHS, LIES), smooth=False),
    Case("Equal", "numbers", CUBE, (X, X), versions=(11, 13, 19), smooth=False),
    *(Case(name, "numbers", CUBE, (X, normal(3, 1)), smooth=False) for name in COMPARING),
    *(Case(name, "same-number", CUBE, (X, X), smooth=False) for name in COMPARING),
    *(Case(name, "integers", CUBE, (SEVENS, TWOS), versions=(9, 13), smooth=False) for name in ("Less", "Greater")),
    *(
        Case(name, "integers", CUBE, (SEVENS, TWOS), versions=(12, 16), smooth=False)
        for name in ("LessOrEqual", "GreaterOrEqual")
    ),
    Case("IsNaN", "odd-ones", CUBE, (ODD_ONES,), smooth=False),
    Case("IsInf", "both", CUBE, (ODD_ONES,), smooth=False),
    Case("IsInf", "positive", CUBE, (ODD_ONES,), {"detect_negative": 0}, smooth=False),
    Case("IsInf", "negative", CUBE, (ODD_ONES,), {"detect_positive": 0}, smooth=False),
    Case("IsInf", "neither", CUBE, (ODD_ONES,), {"detect_positive": 0, "detect_negative": 0}, smooth=False),
]

TRUTH_VALUES = [
    Case("Not", "truths", CUBE, (TRUTHS,), smooth=False),
    *(Case(name, "truths", CUBE, (TRUTHS, LIES), smooth=False) for name in ("And", "Or", "Xor")),
    *(Case(name, "broadcast", CUBE, (TRUTHS, LIES.reshape(4, 1)), smooth=False) for name in ("And", "Or", "Xor")),
]

BITS = [
    Case("BitwiseNot", "integers", CUBE, (SEVENS,), smooth=False),
    *(Case(f"Bitwise{name}", "integers", CUBE, (SEVENS, TWOS), smooth=False) for name in ("And", "Or", "Xor")),
]

CHOICES = [
    Case("Where", "chosen-is-the-input", CUBE, (TRUTHS, X, normal(3, 1))),
    Case("Where", "other-is-the-input", CUBE, (TRUTHS, scalar(0.5), X)),
    Case("Where", "both-are-the-input", CUBE, (LIES, X, X)),
    Case("Where", "integers", CUBE, (TRUTHS, SEVENS, TWOS), smooth=False),
]

CASES = [*COMPARISONS, *TRUTH_VALUES, *BITS, *CHOICES]
