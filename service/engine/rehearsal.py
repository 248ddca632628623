"""From a verified bundle to something that runs: load, rehearse, warm. Nothing unrehearsed is ever served."""

import io

import numpy as np

from service.contract.bundle import Bundle
from service.contract.digest import sha256_hex
from service.contract.errors import FrozenMismatch, GoldenMismatch, MissingFile
from service.contract.manifest import CorrectorManifest, ModelManifest
from service.engine.pipeline import Version
from service.engine.session import Float, OnnxSession, SessionError

MODEL_FILE = "model.onnx"
CORRECTOR_FILE = "corrector.onnx"
GOLDEN_FILE = "golden.npz"


def load_frozen(bundle: Bundle[ModelManifest], *, threads: int) -> OnnxSession:
    """The frozen model, from the very bytes whose SHA-256 is its identity.

    Raises:
        FrozenMismatch: the bytes are not the model that the manifest names.
        SessionError: onnxruntime refuses it, or its output is not the one that the manifest names.
    """
    if MODEL_FILE not in bundle.files:
        raise MissingFile(f"a model's bundle needs {MODEL_FILE}")
    content = bundle.files[MODEL_FILE]
    if sha256_hex(content) != bundle.manifest.frozen_sha256:
        raise FrozenMismatch(f"{MODEL_FILE} is not the frozen model {bundle.manifest.frozen_sha256[:12]}")
    session = OnnxSession(content, threads=threads)
    if bundle.manifest.output.name not in session.outputs:
        raise SessionError(f"the frozen model has no output '{bundle.manifest.output.name}'")
    return session


def rehearse(bundle: Bundle[CorrectorManifest], number: int, model: ModelManifest, *, threads: int) -> Version:
    """A corrector, loaded and shown to repeat its golden answers.

    Raises:
        MissingFile: the bundle lacks the graph or its golden vectors.
        FrozenMismatch: it was fitted for another frozen model or another input.
        GoldenMismatch: its answers differ from the recorded ones by more than the bundle's tolerance.
        SessionError: onnxruntime refuses it.
    """
    manifest = bundle.manifest
    if manifest.frozen_sha256 != model.frozen_sha256:
        raise FrozenMismatch(
            f"the corrector belongs to frozen model {manifest.frozen_sha256[:12]}, this is {model.frozen_sha256[:12]}"
        )
    if manifest.input != model.input:
        raise FrozenMismatch("the corrector was fitted for another shape, range or normalisation of the input")
    missing = {CORRECTOR_FILE, GOLDEN_FILE} - set(bundle.files)
    if missing:
        raise MissingFile(f"a corrector's bundle needs {', '.join(sorted(missing))}")
    session = OnnxSession(bundle.files[CORRECTOR_FILE], threads=threads)
    inputs, expected = read_golden(bundle.files[GOLDEN_FILE])
    if inputs.shape[1:] != model.input.shape or len(inputs) == 0:
        raise GoldenMismatch(f"golden inputs have shape {inputs.shape}, the model takes (n, {model.input.shape})")
    actual = session.run(inputs)[0]
    if actual.shape != inputs.shape or expected.shape != inputs.shape:
        raise GoldenMismatch(f"the corrector turns {inputs.shape} into {actual.shape}; a corrector keeps the shape")
    distance = float(np.max(np.abs(actual - expected)))
    if not distance <= manifest.golden_tolerance:
        raise GoldenMismatch(
            f"golden answers differ by {distance:.3g}, at most {manifest.golden_tolerance:.3g} is allowed"
        )
    return Version(number, session)


def read_golden(content: bytes) -> tuple[Float, Float]:
    """Golden inputs and outputs, two arrays (n, C, H, W) float32.

    Raises:
        GoldenMismatch: the file does not hold two float32 arrays `x` and `y`.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            inputs, outputs = archive["x"], archive["y"]
    # A damaged archive comes out of zipfile and numpy as any of a dozen types.
    except Exception as error:
        raise GoldenMismatch("the golden file cannot be read") from error
    if inputs.dtype != np.float32 or outputs.dtype != np.float32:
        raise GoldenMismatch("golden vectors must be float32")
    return inputs, outputs
