"""What computes."""

from enum import StrEnum


class Provider(StrEnum):
    """By our name for it; onnxruntime's are in `session.py`."""

    CPU = "cpu"
    CUDA = "cuda"
