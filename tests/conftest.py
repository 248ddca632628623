"""Parts that many tests share: a tiny frozen model, correctors for it, a running service. All real, nothing patched."""

import io
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
import uvicorn
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service import log
from service.__main__ import listen
from service.app import create_app
from service.auth import Scope, make_key
from service.catalog import install
from service.connection import Connection
from service.context import Context
from service.contract.bundle import Bundle, describe
from service.contract.digest import sha256_hex
from service.contract.graph_rules import FROZEN_MODEL
from service.contract.manifest import CorrectorManifest, ModelManifest
from service.contract.store import LocalStore
from service.database import keys, versions
from service.database.engine import Database
from service.engine.tried import Trials
from service.settings import Settings, shipped_models
from trainer.datasets import Dataset
from trainer.interface import Normalisation, read_input_spec
from trainer.onnx_writer import GraphWriter
from trainer.registration import register

SHAPE = (1, 8, 8)
CLASSES = 4
TINY = "tiny"


@pytest.fixture(scope="session")
def tiny_onnx() -> bytes:
    """Three convolutions with batch normalisation and a linear head, random weights, input (n, 1, 8, 8)."""
    draw = np.random.default_rng(0)
    nodes, constants, x = [], [], "image"
    for index, (inputs, outputs) in enumerate([(1, 6), (6, 8), (8, 8)]):
        kernel = draw.normal(0, 0.5 / np.sqrt(inputs), (outputs, inputs, 3, 3))
        parts = {
            "w": kernel,
            "g": np.ones(outputs),
            "b": np.zeros(outputs),
            "m": np.zeros(outputs),
            "v": np.ones(outputs),
        }
        names = {key: f"{key}{index}" for key in parts}
        constants += [numpy_helper.from_array(value.astype(np.float32), names[key]) for key, value in parts.items()]
        nodes.append(helper.make_node("Conv", [x, names["w"]], [f"conv{index}"], pads=[1, 1, 1, 1]))
        statistics = [names[key] for key in ("g", "b", "m", "v")]
        nodes.append(helper.make_node("BatchNormalization", [f"conv{index}", *statistics], [f"norm{index}"]))
        nodes.append(helper.make_node("Relu", [f"norm{index}"], [f"relu{index}"]))
        x = f"relu{index}"
    head = draw.normal(0, 1, (CLASSES, 8)), draw.normal(0, 1, CLASSES)
    constants += [numpy_helper.from_array(a.astype(np.float32), n) for a, n in zip(head, ("hw", "hb"), strict=True)]
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["pool"]))
    nodes.append(helper.make_node("Flatten", ["pool"], ["flat"]))
    nodes.append(helper.make_node("Gemm", ["flat", "hw", "hb"], ["logits"], transB=1))
    sides = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *SHAPE]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", CLASSES]),
    ]
    graph = helper.make_graph(nodes, "tiny", sides[:1], sides[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def tiny(tiny_onnx: bytes) -> Bundle[ModelManifest]:
    """The tiny model, registered with 300 random source images."""
    images = np.random.default_rng(1).random((300, *SHAPE), dtype=np.float32)
    spec = read_input_spec(tiny_onnx, Normalisation())
    return register(tiny_onnx, name=TINY, spec=spec, source=Dataset(images, None), labels=None, card=None)


@pytest.fixture(scope="session")
def make_corrector(tiny: Bundle[ModelManifest]) -> Callable[..., Bundle[CorrectorManifest]]:
    """Makes a corrector that multiplies by `gain`, with honest golden vectors unless told otherwise."""

    def make(gain: float = 0.5, **changed: object) -> Bundle[CorrectorManifest]:
        graph = GraphWriter(17)
        output = graph.node("Mul", "image", graph.constant(np.float32([gain])))
        content = graph.to_bytes(inputs="image", output=output, shape=SHAPE, metadata={})
        x = np.random.default_rng(2).random((2, *SHAPE), dtype=np.float32)
        buffer = io.BytesIO()
        np.savez(buffer, x=x, y=x * np.float32(gain))
        files = {"corrector.onnx": content, "golden.npz": buffer.getvalue(), "verdict.json": b"{}"}
        files |= {name: value for name, value in changed.items() if isinstance(value, bytes)}
        facts = {name: value for name, value in changed.items() if not isinstance(value, bytes)}
        manifest = CorrectorManifest(
            **{
                "frozen_sha256": tiny.manifest.frozen_sha256,
                "input": tiny.manifest.input,
                "files": describe(files),
                "method": "homogenizer",
                "stages": ("gain",),
                "opset": 17,
                "parameters": 1,
                "golden_tolerance": 1e-3,
                "seed": 0,
                "batch_sha256": "0" * 64,
                "configuration": {},
                "packages": {},
                **facts,
            }
        )
        return Bundle(sha256_hex(manifest.to_bytes()), manifest, files)

    return make


@pytest.fixture(scope="session")
def tried(tmp_path_factory: pytest.TempPathFactory, tiny_onnx: bytes) -> Path:
    """What a home remembers once the tiny model and the demo's came through their trials: real ones, held once."""
    folder = tmp_path_factory.mktemp("trials") / "tried"
    trials = Trials(folder)
    for content in (tiny_onnx, (shipped_models() / "digits" / "model.onnx").read_bytes()):
        trials.ensure(content, FROZEN_MODEL)
    return folder


@pytest.fixture
def settings(tmp_path: Path, tried: Path) -> Settings:
    """A home of its own, no worker, two threads, a free port."""
    shutil.copytree(tried, tmp_path / "home" / "tried")
    return Settings(home=tmp_path / "home", port=0, worker=False, threads=2, refresh_interval_s=0.02)


class Service:
    """A running service: an HTTP client and the parts behind it."""

    def __init__(self, url: str, context: Context, connections: set[Any]) -> None:
        self.url = url
        self.context = context
        self.connections = connections
        self.http = httpx.Client(base_url=url, timeout=30)

    def publish(self, bundle: Bundle[CorrectorManifest], *, domain: str = "default") -> int:
        """Put a corrector into store and database as a worker would; returns its number."""
        sha256 = bundle.manifest.frozen_sha256
        digest = self.context.store.publish(bundle)
        with self.context.database.write() as connection:
            number = versions.next_number(connection, sha256)
            row = versions.VersionRow(sha256, number, digest, domain, None, "promote", "homogenizer", 0.0)
            versions.add(connection, row)
        return number

    def give_key(self, name: str, *scopes: Scope, **more: Any) -> dict[str, str]:
        """Make a key as the command line does; returns the headers that show it, once the service knows it."""
        key, row = make_key(name, scopes, created_at=0.0, **more)
        with self.context.database.write() as connection:
            keys.add(connection, row)
        while not self.context.keyring.knows(row.id):
            time.sleep(0.005)
        return {"authorization": f"Bearer {key}"}

    def activate(self, number: int, *, domain: str = "default") -> None:
        """Make a version champion over HTTP."""
        answer = self.http.post(f"/v1/models/{TINY}/domains/{domain}/activate", json={"version": number})
        assert answer.status_code == 200, answer.text

    def infer(self, x: NDArray[np.float32], *, version: str | None = None, domain: str | None = None) -> httpx.Response:
        """A v2 request for rows of the tiny model."""
        path = f"/v2/models/{TINY}" + (f"/versions/{version}" if version is not None else "") + "/infer"
        tensor = {"name": "image", "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}
        parameters = {"parameters": {"domain": domain}} if domain is not None else {}
        return self.http.post(path, json={"inputs": [tensor], **parameters})


@contextmanager
def running(settings: Settings, model: Bundle[ModelManifest]) -> Iterator[Service]:
    """The service in a thread of this process, behind a real socket, serving `model` beside what ships."""
    log.configure(as_json=False)
    database = Database(settings.url)
    app = create_app(settings)
    install(model, database, LocalStore(settings.store_dir))
    database.close()
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on", http=Connection))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
        assert thread.is_alive(), "the service did not start"
    service = Service(f"http://127.0.0.1:{listener.getsockname()[1]}", app.context, server.server_state.connections)
    try:
        yield service
    finally:
        service.http.close()
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def service(settings: Settings, tiny: Bundle[ModelManifest]) -> Iterator[Service]:
    """A running service with the tiny model."""
    with running(settings, tiny) as started:
        yield started


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory, tiny: Bundle[ModelManifest]) -> Iterator[Service]:
    """One running service for all tests of a file that leave it as they find it."""
    home = tmp_path_factory.mktemp("shared") / "home"
    with running(Settings(home=home, worker=False, threads=2, refresh_interval_s=0.02), tiny) as started:
        yield started


@pytest.fixture(scope="session")
def bare(tiny_onnx: bytes) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """onnxruntime on the bare frozen file with the service's session options: the oracle for version 0."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(tiny_onnx, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"image": x})[0]


def random_rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Rows for the tiny model."""
    return np.random.default_rng(seed).random((count, *SHAPE), dtype=np.float32)
