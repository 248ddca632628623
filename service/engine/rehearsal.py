"""From a verified bundle to something that runs: load, rehearse, warm. Nothing unrehearsed is ever served."""

import io
from dataclasses import dataclass

import numpy as np

from service.contract.bundle import Bundle
from service.contract.digest import sha256_hex
from service.contract.errors import FrozenMismatch, GoldenMismatch, MissingFile
from service.contract.manifest import CorrectorManifest, ModelManifest
from service.engine.chain import Chain
from service.engine.fixed_rows import FixedRows
from service.engine.pipeline import Graph, Version
from service.engine.provider import Provider
from service.engine.session import Array, OnnxSession, OutputTensor, SessionError

MODEL_FILE = "model.onnx"
CORRECTOR_FILE = "corrector.onnx"
GOLDEN_FILE = "golden.npz"


@dataclass(frozen=True)
class Frozen:
    """A loaded frozen model: what runs it, for any number of rows, and what its file says of its outputs."""

    graph: Graph
    outputs: tuple[OutputTensor, ...]
    options: dict[str, str]
    device: Provider
    chain: Chain | None


def load_frozen(bundle: Bundle[ModelManifest], *, threads: int, provider: Provider = Provider.CPU) -> Frozen:
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
    session = OnnxSession(content, threads=threads, provider=provider)
    if bundle.manifest.output.name not in [output.name for output in session.outputs]:
        raise SessionError(f"the frozen model has no output '{bundle.manifest.output.name}'")
    fixed = bundle.manifest.input.batch
    # On the processor binding costs more than it saves, and a file that fixes its rows is fed in pieces.
    chain = Chain(session) if fixed is None and session.device != Provider.CPU else None
    graph = session if fixed is None else FixedRows(session, fixed)
    return Frozen(graph, session.outputs, session.options, session.device, chain)


def rehearse(
    bundle: Bundle[CorrectorManifest],
    number: int,
    model: ModelManifest,
    *,
    threads: int,
    provider: Provider = Provider.CPU,
) -> Version:
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
    session = OnnxSession(bundle.files[CORRECTOR_FILE], threads=threads, provider=provider)
    inputs, expected = read_golden(bundle.files[GOLDEN_FILE])
    wanted = f"{model.input.dtype} {(len(inputs), *model.input.item_shape)}"
    if len(inputs) == 0 or _described(inputs) != wanted:
        raise GoldenMismatch(f"golden inputs are {_described(inputs)}, expected {wanted}")
    actual = session.run(inputs)[0]
    if {_described(actual), _described(expected)} != {_described(inputs)}:
        raise GoldenMismatch(
            f"the corrector turns {_described(inputs)} into {_described(actual)}; a corrector keeps type and shape"
        )
    # float64: uint8 answers would wrap around.
    distance = float(np.max(np.abs(actual.astype(np.float64) - expected.astype(np.float64))))
    if not distance <= manifest.golden_tolerance:
        raise GoldenMismatch(
            f"golden answers differ by {distance:.3g}, at most {manifest.golden_tolerance:.3g} is allowed"
        )
    return Version(number, session)


def read_golden(content: bytes) -> tuple[Array, Array]:
    """Golden inputs and outputs, two tensors as the frozen model takes them.

    Raises:
        GoldenMismatch: the file does not hold two arrays `x` and `y`.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            inputs, outputs = archive["x"], archive["y"]
    # A damaged archive comes out of zipfile and numpy as any of a dozen types.
    except Exception as error:
        raise GoldenMismatch("the golden file cannot be read") from error
    return inputs, outputs


def _described(array: Array) -> str:
    return f"{array.dtype} {array.shape}"
