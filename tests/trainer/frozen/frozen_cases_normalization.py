"""Rows for normalizations, transposed convolutions, attention and onnxruntime's fused operators."""

import numpy as np
from frozen_case import Case, X, normal

PICTURE = (2, 4, 5, 3)
SEQUENCE = (2, 5, 8)
MICROSOFT = "com.microsoft"
FOUR = (normal(4, seed=1), normal(4, seed=2))

NORMALIZATIONS = [
    Case("InstanceNormalization", "picture", PICTURE, (X, *FOUR), {"epsilon": 1e-3}),
    Case("InstanceNormalization", "one-axis", (2, 4, 7), (X, *FOUR)),
    Case("GroupNormalization", "per-group", PICTURE, (X, normal(2), normal(2, seed=4)), {"num_groups": 2}, (18,)),
    Case("GroupNormalization", "per-channel", PICTURE, (X, *FOUR), {"num_groups": 2, "epsilon": 1e-3}, (21,)),
    Case("LayerNormalization", "last-axis", SEQUENCE, (X, normal(8), normal(8, seed=4))),
    Case("LayerNormalization", "no-bias", SEQUENCE, (X, normal(8)), {"epsilon": 1e-2}),
    Case("LayerNormalization", "two-axes", SEQUENCE, (X, normal(5, 8), normal(5, 8, seed=4)), {"axis": 1}, outputs=3),
    Case("LayerNormalization", "broadcast", SEQUENCE, (X, normal(8), normal(1, 8, seed=4)), {"axis": -2}),
    Case("RMSNormalization", "last-axis", SEQUENCE, (X, normal(8))),
    Case("RMSNormalization", "two-axes", SEQUENCE, (X, normal(5, 8)), {"axis": 1, "epsilon": 1e-2}),
    Case("LRN", "default", (2, 7, 3, 2), (X,), {"size": 5}),
    Case("LRN", "strong", (2, 7, 3, 2), (X,), {"size": 3, "alpha": 0.5, "beta": 1.5, "bias": 2.0}),
    Case("MeanVarianceNormalization", "default", PICTURE),
    Case("MeanVarianceNormalization", "axes", PICTURE, attributes={"axes": [2, 3]}),
    *(
        Case("LpNormalization", f"p-{p}-axis-{axis}", PICTURE, attributes={"p": p, "axis": axis}, bounds=(0.2, 2.0))
        for p in (1, 2)
        for axis in (1, -1)
    ),
    Case("LpNormalization", "zeros", (2, 3), bounds=(0.0, 0.0), smooth=False),
]

KERNEL = normal(4, 3, 3, 2)
TRANSPOSED = [
    Case("ConvTranspose", "plain", PICTURE, (X, KERNEL)),
    Case("ConvTranspose", "strides-bias", PICTURE, (X, KERNEL, normal(3)), {"strides": [2, 3]}),
    Case("ConvTranspose", "pads", PICTURE, (X, KERNEL, normal(3)), {"strides": [2, 2], "pads": [1, 0, 1, 1]}),
    Case(
        "ConvTranspose",
        "output-padding",
        PICTURE,
        (X, KERNEL, normal(3)),
        {"strides": [2, 3], "pads": [1, 1, 1, 1], "output_padding": [1, 2]},
    ),
    *(
        Case(
            "ConvTranspose",
            f"output-shape-{auto_pad.lower()}",
            PICTURE,
            (X, KERNEL, normal(3)),
            {"strides": [2, 2], "output_shape": [8, 7], "auto_pad": auto_pad},
        )
        for auto_pad in ("NOTSET", "SAME_UPPER", "SAME_LOWER")
    ),
    Case(
        "ConvTranspose", "larger-output", PICTURE, (X, KERNEL, normal(3)), {"strides": [2, 2], "output_shape": [12, 7]}
    ),
    *(
        Case("ConvTranspose", auto_pad.lower(), PICTURE, (X, KERNEL), {"strides": [2, 1], "auto_pad": auto_pad})
        for auto_pad in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    Case("ConvTranspose", "same-wide-stride", PICTURE, (X, KERNEL), {"strides": [4, 3], "auto_pad": "SAME_UPPER"}),
    Case("ConvTranspose", "groups", PICTURE, (X, normal(4, 2, 2, 2), normal(4)), {"group": 2, "strides": [2, 2]}),
    Case("ConvTranspose", "dilations", PICTURE, (X, KERNEL), {"dilations": [2, 3], "pads": [1, 2, 0, 1]}),
    Case("ConvTranspose", "one-axis", (2, 4, 6), (X, normal(4, 3, 3), normal(3)), {"strides": [2], "pads": [1, 0]}),
    Case("ConvTranspose", "three-axes", (1, 2, 3, 3, 2), (X, normal(2, 2, 2, 2, 3)), {"strides": [2, 1, 2]}),
]

CAUSE = np.tril(np.ones((5, 5), dtype=bool))
HEADS = (2, 2, 5, 4)
ATTENTION = [
    Case("Attention", "four-axes", HEADS, (X, normal(2, 2, 6, 4), normal(2, 2, 6, 3))),
    Case("Attention", "itself-scaled", HEADS, (X, X, X), {"scale": 0.3}),
    Case("Attention", "three-axes", SEQUENCE, (X, X, normal(*SEQUENCE)), {"q_num_heads": 2, "kv_num_heads": 2}),
    Case("Attention", "shared-heads", (2, 4, 5, 4), (X, normal(*HEADS), normal(*HEADS, seed=4))),
    Case("Attention", "added-mask", HEADS, (X, X, X, normal(5, 5))),
    Case("Attention", "boolean-mask", HEADS, (X, X, X, CAUSE)),
    Case("Attention", "blind-query", HEADS, (X, X, X, CAUSE & (np.arange(5) > 1)[:, None])),
    Case("Attention", "causal", HEADS, (X, X, X), {"is_causal": 1}),
]

FUSED = [
    Case("Gelu", "microsoft", SEQUENCE, domain=MICROSOFT),
    Case("BiasGelu", "sequence", SEQUENCE, (X, normal(8)), domain=MICROSOFT),
    Case("FastGelu", "sequence", SEQUENCE, domain=MICROSOFT),
    Case("FastGelu", "bias", SEQUENCE, (X, normal(8)), domain=MICROSOFT),
    Case("QuickGelu", "sequence", SEQUENCE, attributes={"alpha": 1.2}, domain=MICROSOFT),
    Case(
        "SkipLayerNormalization",
        "plain",
        SEQUENCE,
        (X, normal(*SEQUENCE), normal(8)),
        {"epsilon": 1e-5},
        domain=MICROSOFT,
    ),
    Case(
        "SkipLayerNormalization",
        "biases",
        SEQUENCE,
        (normal(*SEQUENCE), X, normal(8), normal(8, seed=4), normal(8, seed=5)),
        domain=MICROSOFT,
    ),
]

CASES = [*NORMALIZATIONS, *TRANSPOSED, *ATTENTION, *FUSED]
