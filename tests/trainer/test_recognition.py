"""Recognition: source images come out bit for bit, the others corrected, in torch as in onnxruntime."""

import numpy as np
import onnxruntime
import pytest
import torch

from trainer.corrector import Corrector
from trainer.frame import Frame
from trainer.onnx_writer import GraphWriter
from trainer.recognition import Recogniser, Recognition, fit_recogniser
from trainer.stages.residual import Residual

FRAME = Frame((1, 12, 10), None, (1.0,))

pytestmark = pytest.mark.usefixtures("one_thread")


def images(count: int, seed: int, *, brightness: float = 0.0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return 0.5 * torch.rand((count, *FRAME.shape), generator=draw) + brightness


def brightening() -> Residual:
    stage = Residual(FRAME)
    with torch.no_grad():
        stage.body[-1].bias.fill_(1.0)
    return stage


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    draw = torch.Generator().manual_seed(0)
    return fit_recogniser(FRAME, images(300, 1), images(300, 2, brightness=0.3), Recognition(steps=150, batch=32), draw)


def in_onnxruntime(corrector: Corrector, frame: Frame, x: torch.Tensor) -> np.ndarray:
    graph = GraphWriter(17)
    output = corrector.write(graph, "image")
    content = graph.to_bytes(inputs="image", output=output, shape=frame.shape, metadata={})
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"image": x.numpy()})[0]


def test_other_images_of_either_kind_are_told_apart(recogniser: Recogniser) -> None:
    with torch.no_grad():
        source, target = (recogniser(x) > 0 for x in (images(200, 3), images(200, 4, brightness=0.3)))

    assert source.float().mean() < 0.05
    assert target.float().mean() > 0.95


def test_source_images_come_out_bit_for_bit_and_the_others_corrected(recogniser: Recogniser) -> None:
    corrector, x = Corrector([brightening()], recogniser), torch.cat([images(40, 5), images(40, 6, brightness=0.3)])
    with torch.no_grad():
        looks_foreign, corrected = recogniser(x) > 0, Corrector([brightening()])(x)

    y = in_onnxruntime(corrector, FRAME, x)

    assert 0 < int(looks_foreign.sum()) < len(x)
    np.testing.assert_array_equal(y[~looks_foreign], x[~looks_foreign].numpy())
    np.testing.assert_allclose(y[looks_foreign], corrected[looks_foreign].numpy(), rtol=0, atol=1e-6)


def test_it_is_counted_and_named_in_front_of_the_stages(recogniser: Recogniser) -> None:
    corrector, bare = Corrector([brightening()], recogniser), Corrector([brightening()])

    assert corrector.names() == ("recognition", "residual")
    assert corrector.size() == bare.size() + sum(parameter.numel() for parameter in recogniser.parameters())


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 9), (3, 28, 28), (3, 65, 130)])
def test_every_size_of_picture_is_scored_the_same_in_onnxruntime(shape: tuple[int, int, int]) -> None:
    frame = Frame(shape, None, (2.0,) * shape[0])
    scored, x = Recogniser(frame), torch.rand((4, *shape), generator=torch.Generator().manual_seed(1))
    graph = GraphWriter(17)
    spread = graph.node("Reshape", scored.write(graph, "image"), graph.constant(np.array([-1, 1, 1, 1])))
    whole = graph.node("Add", graph.node("Mul", "image", graph.constant(np.zeros(1, np.float32))), spread)
    content = graph.to_bytes(inputs="image", output=whole, shape=shape, metadata={})

    found = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"image": x.numpy()})[0]

    np.testing.assert_allclose(found[:, 0, 0, 0], scored(x).detach().numpy(), rtol=0, atol=1e-5)


def test_it_stays_small_where_pictures_are_large() -> None:
    recogniser = Recogniser(Frame((3, 480, 640), None, (1.0,) * 3))

    assert sum(parameter.numel() for parameter in recogniser.parameters()) < 5_000
