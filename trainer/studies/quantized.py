"""Writes int8 forms of a model that ships, as deployment tools do: they are to be read and corrected like the original.

python -m trainer.studies.quantized models/digits mnist.npz digits-int8.onnx
foreoptic register digits-int8.onnx --name digits-int8 --source mnist.npz --part train
foreoptic evaluate digits-int8 --target target.npz
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from rich.console import Console

from service.contract.bundle import read_bundle
from service.contract.manifest import ModelManifest
from trainer.datasets import load_dataset

ROWS = 32
CALIBRATED_ON = 256
FORMATS = {"qdq": QuantFormat.QDQ, "operators": QuantFormat.QOperator}


class _Batches(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime's class has no types
    """Images in small batches, from which the quantizer takes its ranges."""

    def __init__(self, name: str, images: NDArray[np.float32]) -> None:
        self._parts: Iterator[dict[str, NDArray[np.float32]]] = iter(
            {name: images[start : start + ROWS]} for start in range(0, len(images), ROWS)
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next batch, as onnxruntime asks for it."""
        return next(self._parts, None)


def quantize(content: bytes, images: NDArray[np.float32], *, name: str, form: str, per_channel: bool = False) -> bytes:
    """The model in eight bits, weights and activations.

    Args:
        images: (n, C, H, W), from which the ranges of activations are taken.
        name: of the model's input.
        form: "qdq" keeps the operators between roundings, "operators" has quantized ones.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "model.onnx", Path(folder) / "quantized.onnx"
        source.write_bytes(content)
        quantize_static(
            source,
            target,
            _Batches(name, images),
            quant_format=FORMATS[form],
            per_channel=per_channel,
            activation_type=QuantType.QInt8 if form == "qdq" else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return target.read_bytes()


def main() -> None:
    """Quantize the model of a bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a model's bundle")
    parser.add_argument("source", type=Path, help="source images, see `foreoptic register`")
    parser.add_argument("output", type=Path, help="file to write")
    parser.add_argument("--part", default="train")
    parser.add_argument("--form", choices=FORMATS, default="qdq")
    parser.add_argument("--per-channel", action="store_true")
    arguments = parser.parse_args()
    bundle = read_bundle(arguments.model, ModelManifest)
    spec = bundle.manifest.input
    images = load_dataset(arguments.source, spec, part=arguments.part).images[-CALIBRATED_ON:]
    content = quantize(
        bundle.files["model.onnx"], images, name=spec.name, form=arguments.form, per_channel=arguments.per_channel
    )
    arguments.output.write_bytes(content)
    Console(stderr=True).print(f"{len(content):,} bytes written to {arguments.output}")


if __name__ == "__main__":
    main()
