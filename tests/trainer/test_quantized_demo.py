"""The demo's model in eight bits, in the demo's setting: registered without a source image, and corrected."""

import numpy as np
import pytest
import torch
from PIL import Image

from foreoptic.demo_target import load_target
from service.contract.bundle import read_bundle
from service.contract.job import JobSpec
from service.contract.manifest import ModelManifest
from service.contract.pictures import to_pixels
from service.contract.verdict import Decision
from service.settings import shipped_models
from trainer.datasets import Dataset
from trainer.evaluation import Classifier
from trainer.interface import Normalisation, read_input_spec
from trainer.registration import register
from trainer.run import Clock, fit
from trainer.studies.quantized import quantize


@pytest.mark.filterwarnings("ignore")  # of onnxruntime's quantizer, about options that it was not given
def test_the_demo_s_model_in_eight_bits_recovers_from_one_unlabelled_batch() -> None:
    real = read_bundle(shipped_models() / "digits", ModelManifest)
    target, threads = load_target(0), torch.get_num_threads()
    spec = real.manifest.input

    def planes(pictures: np.ndarray) -> np.ndarray:
        return spec.from_pixels(np.stack([to_pixels(Image.fromarray(picture), spec) for picture in pictures]))

    posted, measured = planes(target.posted), Dataset(planes(target.measured), target.measured_labels)
    content = quantize(real.files["model.onnx"], posted[:64], name=spec.name, form="qdq")
    spec = read_input_spec(content, Normalisation())
    model = register(content, name="digits-int8", spec=spec, source=None, labels=None, card=None)
    job = JobSpec(
        id="a" * 32,
        model="digits-int8",
        domain="default",
        method="homogenizer",
        seed=0,
        frozen_sha256=model.manifest.frozen_sha256,
        batch_sha256="0" * 64,
        threads=threads,
    )

    verdict, corrector = fit(job, model, posted, None, lambda progress: None, Clock())

    classifier = Classifier(model)
    before, after = classifier.accuracy(measured), classifier.accuracy(measured, corrector.files["corrector.onnx"])
    assert verdict.decision is Decision.PROMOTE
    assert before < 25
    assert after > 80
