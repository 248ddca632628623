"""Sliding windows: where the windows of a convolution or a pool lie over its input. Integers only, no tensor."""

from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from trainer.frozen.node import Node

MAX_SPATIAL_AXES = 3


class Span(NamedTuple):
    """One axis: the padding that the node states, and the end padding that its windows reach (negative: crop)."""

    begin: int
    end: int
    reach: int


@dataclass(frozen=True)
class Window:
    """The attributes that place windows. An attribute that the node leaves out is None and means 1, pads 0."""

    strides: tuple[int, ...] | None
    dilations: tuple[int, ...] | None
    pads: tuple[int, ...] | None
    auto_pad: str
    ceil: bool

    @classmethod
    def read(cls, node: Node) -> "Window":
        """Take the attributes of a node. Raises UnsupportedOperator for an auto_pad that ONNX does not know."""
        auto_pad = node.text("auto_pad", "NOTSET")
        if auto_pad not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
            raise node.refusal(f"auto_pad is {auto_pad!r}, allowed NOTSET, VALID, SAME_UPPER, SAME_LOWER")
        return cls(
            strides=node.integers("strides"),
            dilations=node.integers("dilations"),
            # ONNX: explicit pads count only if auto_pad is NOTSET.
            pads=node.integers("pads") if auto_pad == "NOTSET" else None,
            auto_pad=auto_pad,
            ceil=bool(node.integer("ceil_mode", 0)),
        )

    def symmetric_pads(self) -> tuple[int, ...] | int | None:
        """Torch's `padding` argument if it can say what the node says, else None."""
        if self.auto_pad.startswith("SAME"):
            return None
        if self.pads is None:
            return 0
        half = len(self.pads) // 2
        return self.pads[:half] if self.pads[:half] == self.pads[half:] else None

    def spans(self, sizes: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[Span, ...]:
        """One span per spatial axis, for an input of these sizes."""
        axes = len(kernel)
        ones, pads = (1,) * axes, self.pads or (0,) * (2 * axes)
        strides, dilations = self.strides or ones, self.dilations or ones
        reaches = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
        return tuple(
            self._span(size, reach, stride, begin, end)
            for size, reach, stride, begin, end in zip(sizes, reaches, strides, pads[:axes], pads[axes:], strict=True)
        )

    def _span(self, size: int, window: int, stride: int, begin: int, end: int) -> Span:
        if self.auto_pad.startswith("SAME"):
            count = -(-size // stride)
            total = max((count - 1) * stride + window - size, 0)
            begin = total // 2 if self.auto_pad == "SAME_UPPER" else total - total // 2
            end = total - begin
        else:
            room = size + begin + end - window
            count = (-(-room // stride) if self.ceil else room // stride) + 1
            # A window that would start in the end padding does not count.
            if self.ceil and (count - 1) * stride >= size + begin:
                count -= 1
        return Span(begin, end, (count - 1) * stride + window - size - begin)


def flat_pads(pairs: list[tuple[int, int]]) -> list[int]:
    """(begin, end) per axis, first axis first, in the order of torch.nn.functional.pad: last axis first."""
    return list(chain.from_iterable(reversed(pairs)))
