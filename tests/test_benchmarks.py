"""What the benchmarks measure is what is served."""

import numpy as np

from benchmarks.serving.limit import merged
from benchmarks.serving.pair import make_pair
from service.engine.session import OnnxSession
from trainer.frozen import find_taps


def test_the_merged_graph_computes_what_the_two_of_the_pair_do() -> None:
    pair, x = make_pair(), np.random.default_rng(0).random((3, 1, 28, 28), dtype=np.float32)
    corrector, frozen, joint = (
        OnnxSession(content, threads=1) for content in (pair.corrector, pair.frozen, merged(pair))
    )

    np.testing.assert_allclose(joint.run(x)[-1], frozen.run(corrector.run(x)[0])[0], rtol=1e-5, atol=1e-6)


def test_a_network_of_two_convolutions_is_compared_at_its_hidden_dense_layer_too_and_not_at_its_scores() -> None:
    assert find_taps(make_pair().frozen) == ("conv_0", "conv_1", "hidden")
