"""The way through a graphics card, taken on the processor: the same binding calls, the same answers."""

import numpy as np
import pytest

from service.engine.chain import Chain
from service.engine.pipeline import Pipeline, Request, Version
from service.engine.provider import Provider
from service.engine.session import OnnxSession
from tests.conftest import SHAPE, TINY, random_rows, running
from trainer.onnx_writer import GraphWriter


def corrector(operator: str, value: float) -> OnnxSession:
    graph = GraphWriter(17)
    output = graph.node(operator, "image", graph.constant(np.float32([value])))
    return OnnxSession(graph.to_bytes(inputs="image", output=output, shape=SHAPE, metadata={}), threads=1)


@pytest.fixture
def frozen(tiny_onnx: bytes) -> OnnxSession:
    return OnnxSession(tiny_onnx, threads=1)


class Watched(Chain):
    """A real chain that counts how often it was taken."""

    taken = 0

    def run(self, *arguments):
        self.taken += 1
        return super().run(*arguments)


def both_ways(frozen: OnnxSession, requests: list[Request]):
    chain = Watched(frozen)
    chained = Pipeline(frozen, mixes=True, chain=chain).run(requests)
    return chain.taken, chained, Pipeline(frozen, mixes=True).run(requests)


@pytest.mark.parametrize("sizes", [[1], [3], [1, 2, 5]])
def test_a_batch_of_one_version_is_chained_and_answered_alike(frozen, sizes: list[int]) -> None:
    version = Version(1, corrector("Mul", 0.5))
    requests = [Request(random_rows(size, seed), version) for seed, size in enumerate(sizes)]

    taken, chained, apart = both_ways(frozen, requests)

    assert taken == 1
    assert [answer.corrected for answer in chained] == [True] * len(sizes)
    for one, other in zip(chained, apart, strict=True):
        np.testing.assert_array_equal(one.outputs[0], other.outputs[0])


def test_versions_that_are_mixed_or_absent_are_not_chained(frozen) -> None:
    one, two = Version(1, corrector("Mul", 0.5)), Version(2, corrector("Mul", 2.0))
    x = random_rows(1)

    for requests in ([Request(x, one), Request(x, two)], [Request(x, Version(0, None))]):
        taken, chained, apart = both_ways(frozen, requests)
        assert taken == 0
        for first, second in zip(chained, apart, strict=True):
            np.testing.assert_array_equal(first.outputs[0], second.outputs[0])


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_corrector_that_yields_infinity_on_one_caller_costs_that_caller_alone(frozen) -> None:
    version = Version(1, corrector("Div", 0.0))
    good, bad = np.zeros((1, *SHAPE), np.float32), random_rows(1)
    bare = frozen.run(bad)[0]

    _, chained, apart = both_ways(frozen, [Request(bad, version), Request(good, version)])

    assert [answer.corrected for answer in chained] == [answer.corrected for answer in apart]
    np.testing.assert_array_equal(chained[0].outputs[0], bare)


def test_cuda_that_is_not_there_is_seen(tiny_onnx: bytes) -> None:
    session = OnnxSession(tiny_onnx, threads=1, provider=Provider.CUDA)

    # Where there is a card this is CUDA: what is tested is that the answer is the session's own.
    assert (session.device == Provider.CUDA) == ("CUDAExecutionProvider" in session._session.get_providers())


def test_a_service_that_requires_a_card_is_not_ready_without_one_and_answers_all_the_same(settings, tiny) -> None:
    wanted = settings.model_copy(update={"provider": Provider.CPU, "require_gpu": True})
    with running(wanted, tiny) as service:
        for path in ("/readyz", "/v2/health/ready"):
            assert service.http.get(path).status_code == 503
        assert "cpu" in service.http.get("/readyz").json()["detail"]
        assert service.http.get("/healthz").status_code == 200
        assert service.infer(random_rows(1)).status_code == 200
        assert service.http.get(f"/v1/models/{TINY}/attestation").json()["session_options"]["provider"] == "cpu"
