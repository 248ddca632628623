"""The paper's network is its blocks computed by hand, of the size that the page says."""

import numpy as np
import torch
from scipy.ndimage import correlate

from tests.trainer.test_stages import FRAMES, SMALL, compute, images, randomised
from trainer.corrector import Corrector
from trainer.stages.reconstruction import Reconstruction


def test_a_reconstruction_has_the_authors_parameters_without_those_they_never_use() -> None:
    # Theirs has 1,372 and 3,738 with a second normalisation a block, which is constructed and never called.
    assert Corrector([Reconstruction(FRAMES["grey tall"])]).size() == 1_356
    assert Corrector([Reconstruction(FRAMES["colour wide"])]).size() == 3_690


@torch.no_grad()
def test_a_reconstruction_is_its_blocks_computed_by_hand() -> None:
    frame = FRAMES["grey tall"]
    stage, x = randomised(Reconstruction(frame, width=1, depth=2)), images(frame, 2)
    p = {name: value.numpy() for name, value in stage.named_parameters()}
    scale = 1 / np.sqrt(1 + 1e-5)  # A new normalisation has mean 0 and variance 1.

    def convolved(image: np.ndarray, name: str) -> np.ndarray:
        return correlate(image, p[f"{name}.weight"][0, 0], mode="mirror") + p[f"{name}.bias"]

    def by_hand(image: np.ndarray) -> np.ndarray:
        image = image * p["first.weight"].item() + p["first.bias"]
        for index in range(2):
            hidden = convolved(image, f"blocks.{index}.widen") * scale
            hidden = hidden * p[f"blocks.{index}.norm.weight"] + p[f"blocks.{index}.norm.bias"]
            image = image + convolved(np.maximum(hidden, 0), f"blocks.{index}.narrow")
            image = np.maximum(image, 0) if index == 0 else image
        return image * scale * p["last.weight"] + p["last.bias"]

    np.testing.assert_allclose(compute(stage, x)[:, 0], np.stack([by_hand(image[0]) for image in x]), atol=SMALL)


def test_a_reconstruction_in_training_brings_a_batch_to_mean_0_and_variance_1() -> None:
    frame = FRAMES["colour wide"]
    with torch.no_grad():
        y = Reconstruction(frame).train()(torch.from_numpy(5 + 3 * images(frame, 20)))

    torch.testing.assert_close(y.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(y.var(dim=(0, 2, 3), unbiased=False), torch.ones(3), atol=1e-2, rtol=0)
