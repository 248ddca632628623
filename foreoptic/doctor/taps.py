"""Section "taps": where statistics can be compared, and which fingerprint that makes possible."""

from dataclasses import dataclass

from service.contract.fingerprint import MISSING_IN_BATCHNORM
from service.contract.input_spec import InputSpec
from trainer.frozen import batchnorm_statistics, channels_last_taps, find_taps, output_shapes
from trainer.frozen.graph import parse_proto
from trainer.reading import EXAMPLES
from trainer.registration import FEWEST_TAPS, choose_taps


@dataclass(frozen=True)
class TapFacts:
    """One tap.

    Attributes:
        batchnorm: whether it feeds a BatchNormalization node, which keeps the source's mean and variance of it.
        used, reserved: as registration would choose, with the source images that are given or without any.
    """

    name: str
    channels: int
    batchnorm: bool
    used: bool
    reserved: bool


@dataclass(frozen=True)
class Taps:
    """All taps, and what they are good for.

    Attributes:
        batchnorm: how many feed a BatchNormalization node.
        batchnorm_nodes: how many such nodes there are; where taps are fewer, something else stands between.
        fingerprint: full with source images, batchnorm without; none where there are neither images nor nodes enough.
        without_images: the fingerprint that the file alone makes possible.
        missing: what a fingerprint of BatchNormalization nodes cannot do.
        fewest: taps that a model must have.
    """

    taps: tuple[TapFacts, ...]
    batchnorm: int
    batchnorm_nodes: int
    fingerprint: str
    without_images: str
    missing: tuple[str, ...] = MISSING_IN_BATCHNORM
    fewest: int = FEWEST_TAPS


def look_at_taps(content: bytes, spec: InputSpec, *, with_images: bool) -> Taps:
    """Find the taps; their channels are what onnxruntime computes.

    Raises:
        FrozenError: the file's structure cannot be read, or onnxruntime does not run it.
    """
    names, statistics = find_taps(content), batchnorm_statistics(content)
    # onnxruntime takes no name at all for all of them.
    shapes = output_shapes(content, spec.noise(spec.batch or EXAMPLES), names) if names else {}
    last = channels_last_taps(content)
    rows = spec.batch or EXAMPLES
    channels = {
        name: shape[-1] if name in last else shape[1]
        for name, shape in shapes.items()
        if len(shape) > 1 and shape[0] == rows
    }
    names = tuple(channels)
    used = names if with_images or not statistics else tuple(statistics)
    chosen = choose_taps(used, channels) if len(used) >= FEWEST_TAPS else ()
    reserved = {tap.name for tap in chosen if tap.reserved}
    without = "batchnorm" if len(statistics) >= FEWEST_TAPS else "none"
    return Taps(
        taps=tuple(
            TapFacts(name, channels[name], name in statistics, bool(chosen) and name in used, name in reserved)
            for name in names
        ),
        batchnorm=len(statistics),
        batchnorm_nodes=sum(node.op_type == "BatchNormalization" for node in parse_proto(content).graph.node),
        fingerprint=without if not with_images else ("full" if chosen else "none"),
        without_images=without,
    )
