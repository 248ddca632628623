"""A small, sound corrector bundle. Its files are not ONNX: the contract never looks inside them."""

import pytest

from service.contract.bundle import Bundle, describe
from service.contract.digest import sha256_hex
from service.contract.input_spec import InputSpec
from service.contract.manifest import CorrectorManifest


@pytest.fixture
def bundle() -> Bundle[CorrectorManifest]:
    """Two files of a few bytes and a manifest that describes them."""
    files = {"corrector.onnx": b"a graph", "golden.npz": b"its answers"}
    manifest = CorrectorManifest(
        frozen_sha256="f" * 64,
        input=InputSpec(name="image", shape=(1, 8, 8)),
        files=describe(files),
        method="homogenizer",
        stages=("tone", "filter"),
        opset=17,
        parameters=12,
        golden_tolerance=1e-3,
        seed=0,
        batch_sha256="b" * 64,
        configuration={"steps": 40, "rate": 0.5, "fast": True, "note": None},
        packages={"torch": "2.13"},
    )
    return Bundle(sha256_hex(manifest.to_bytes()), manifest, files)
