"""What OpenAPI says of a posted batch. `service.batches` reads it, not the framework, and has the last word."""

_BINARY = {"type": "string", "format": "binary"}
_TENSOR = {
    "type": "object",
    "required": ["datatype", "shape", "data"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"enum": ["FP32", "FP16", "UINT8", "INT64"]},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "data": {"type": "array", "items": {}},
    },
}
_INPUTS = {
    "type": "array",
    "minItems": 1,
    "maxItems": 2,
    "items": _TENSOR,
    "description": "Images; then, if known, labels: `y`, INT64, of shape [n].",
}

POSTED_BATCH = {
    "requestBody": {
        "required": True,
        "description": (
            "Target images, with labels where some are known: numbers of the model's classes, -1 for an image without "
            "one. No fit sees a label; where there are enough, the verdict goes by them."
        ),
        "content": {
            "application/x-npy": {"schema": {**_BINARY, "description": "Images; no labels."}},
            "application/x-npz": {
                "schema": {**_BINARY, "description": "`x`, images, and `y`, labels (n,) of an integer type, if known."}
            },
            "application/zip": {
                "schema": {
                    **_BINARY,
                    "description": "PNG or JPEG pictures, and `labels.csv` with lines name,label, if known.",
                }
            },
            "application/json": {
                "schema": {"type": "object", "required": ["inputs"], "properties": {"inputs": _INPUTS}}
            },
        },
    }
}
