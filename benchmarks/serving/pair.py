"""The pair that every server is given: a corrector of four convolutions before a LeNet-like classifier, untrained."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from service.auth import Scope, make_key
from service.catalog import install
from service.contract.bundle import Bundle, describe
from service.contract.digest import sha256_hex
from service.contract.manifest import CorrectorManifest, ModelManifest
from service.contract.store import LocalStore
from service.database import domains, keys, versions
from service.database.engine import Database
from service.database.migrate import migrate
from service.engine.session import OnnxSession
from service.settings import Settings
from trainer.datasets import Dataset
from trainer.interface import Normalisation, read_input_spec
from trainer.onnx_writer import GraphWriter
from trainer.registration import register

NAME = "lenet"
SHAPE = (1, 28, 28)
WIDTH = 16
OPSET = 17
SOURCE_IMAGES = 128
FROZEN_OUTPUT = "logits"


@dataclass(frozen=True)
class Pair:
    """Both files. `corrector` is a graph of one input and one output, as the service wants it."""

    frozen: bytes
    corrector: bytes
    shape: tuple[int, int, int] = SHAPE


def make_pair() -> Pair:
    """The same bytes every time."""
    return Pair(_frozen(), _corrector())


def install_pair(pair: Pair, settings: Settings, domain_names: tuple[str, ...] = (domains.DEFAULT,)) -> None:
    """Register the frozen model in a home and make the corrector champion of these domains, a version for each."""
    settings.home.mkdir(parents=True, exist_ok=True)
    database, store = Database(settings.url), LocalStore(settings.store_dir)
    migrate(database)
    images = np.random.default_rng(0).random((SOURCE_IMAGES, *pair.shape), dtype=np.float32)
    spec = read_input_spec(pair.frozen, Normalisation())
    model = register(pair.frozen, name=NAME, spec=spec, source=Dataset(images, None), labels=None, card=None)
    install(model, database, store)
    for place, domain in enumerate(domain_names):
        _publish(pair, model, database, store, domain, place)
    database.close()


def give_key(settings: Settings) -> str:
    """A key, so that what is measured has its protections on."""
    key, row = make_key("benchmark", [Scope.PREDICT, Scope.ADAPT], predict_per_s=1e9, created_at=0.0)
    database = Database(settings.url)
    with database.write() as connection:
        keys.add(connection, row)
    database.close()
    return key


def _publish(
    pair: Pair, model: Bundle[ModelManifest], database: Database, store: LocalStore, domain: str, seed: int
) -> None:
    bundle = _bundle(pair, model.manifest, seed)
    sha256, digest = model.manifest.frozen_sha256, store.publish(bundle)
    with database.write() as connection:
        number = versions.next_number(connection, sha256)
        versions.add(
            connection,
            versions.VersionRow(sha256, number, digest, domain, None, "promote", "homogenizer", 0.0),
        )
        row = domains.find(connection, NAME, domain)
        if row is None:
            row = domains.DomainRow(NAME, domain)
            domains.add(connection, row)
        domains.point(connection, row, champion=number)


def _bundle(pair: Pair, model: ModelManifest, seed: int) -> Bundle[CorrectorManifest]:
    x = np.random.default_rng(1).random((2, *pair.shape), dtype=np.float32)
    buffer = io.BytesIO()
    np.savez(buffer, x=x, y=OnnxSession(pair.corrector, threads=1).run(x)[0])
    files = {"corrector.onnx": pair.corrector, "golden.npz": buffer.getvalue(), "verdict.json": b"{}"}
    manifest = CorrectorManifest(
        frozen_sha256=model.frozen_sha256,
        input=model.input,
        files=describe(files),
        method="homogenizer",
        stages=("benchmark",),
        opset=OPSET,
        parameters=1,
        golden_tolerance=1e-3,
        seed=seed,
        batch_sha256="0" * 64,
        configuration={},
        packages={},
    )
    return Bundle(sha256_hex(manifest.to_bytes()), manifest, files)


def _corrector() -> bytes:
    draw, graph = np.random.default_rng(2), GraphWriter(OPSET)
    x = "image"
    for place, (inputs, outputs) in enumerate([(1, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, 1)]):
        kernel = draw.normal(0, 0.5 / np.sqrt(9 * inputs), (outputs, inputs, 3, 3)).astype(np.float32)
        bias = np.zeros(outputs, np.float32)
        x = graph.node("Conv", x, graph.constant(kernel), graph.constant(bias), pads=[1, 1, 1, 1])
        x = graph.node("Relu", x) if place < 3 else x
    return graph.to_bytes(inputs="image", output=graph.node("Add", "image", x), shape=SHAPE, metadata={})


def _frozen() -> bytes:
    """Two convolutions of 5 x 5, each pooled, and two dense layers; 0.87 million parameters."""
    draw, nodes, constants = np.random.default_rng(3), [], []

    def constant(name: str, *shape: int) -> str:
        fan_in = int(np.prod(shape[1:])) or 1
        values = draw.normal(0, 1 / np.sqrt(fan_in), shape).astype(np.float32)
        constants.append(numpy_helper.from_array(values, name))
        return name

    x = "image"
    for place, (inputs, outputs) in enumerate([(1, 32), (32, 64)]):
        names = [constant(f"kernel_{place}", outputs, inputs, 5, 5), constant(f"bias_{place}", outputs)]
        nodes.append(helper.make_node("Conv", [x, *names], [f"conv_{place}"]))
        nodes.append(helper.make_node("Relu", [f"conv_{place}"], [f"relu_{place}"]))
        nodes.append(
            helper.make_node("MaxPool", [f"relu_{place}"], [f"pool_{place}"], kernel_shape=[2, 2], strides=[2, 2])
        )
        x = f"pool_{place}"
    nodes.append(helper.make_node("Flatten", [x], ["flat"]))
    names = [constant("dense", 784, 1024), constant("dense_bias", 784)]
    nodes.append(helper.make_node("Gemm", ["flat", *names], ["hidden"], transB=1))
    nodes.append(helper.make_node("Relu", ["hidden"], ["relu_2"]))
    names = [constant("head", 10, 784), constant("head_bias", 10)]
    nodes.append(helper.make_node("Gemm", ["relu_2", *names], [FROZEN_OUTPUT], transB=1))
    sides = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *SHAPE]),
        helper.make_tensor_value_info(FROZEN_OUTPUT, TensorProto.FLOAT, ["n", 10]),
    ]
    graph = helper.make_graph(nodes, NAME, sides[:1], sides[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    return bytes(model.SerializeToString(deterministic=True))


def home_settings(home: Path, **changed: object) -> Settings:
    """A home of its own on a free port, without a worker."""
    return Settings(home=home, port=0, worker=False, shipped=(), **changed)  # type: ignore[arg-type]
