"""An ONNX classifier becomes a model: hash, input, output, taps, fingerprint, parity; a bundle comes out."""

from collections.abc import Callable

import numpy as np

from service.contract.bundle import Bundle, describe
from service.contract.digest import sha256_hex
from service.contract.input_spec import InputSpec
from service.contract.kept_source import SOURCE_FILE, room_for, to_bytes
from service.contract.manifest import ModelManifest, Tap
from trainer.datasets import Dataset
from trainer.fingerprinting import from_batchnorm, from_images
from trainer.frozen import batchnorm_statistics, find_taps
from trainer.interface import RegistrationError
from trainer.probing import ROWS_TRIED, find_scores, probe

FEWEST_TAPS = 3
FEWEST_IMAGES = 128


def choose_taps(names: tuple[str, ...], channels: dict[str, int]) -> tuple[Tap, ...]:
    """All taps, every third reserved, counted back from the last but one; never the first.

    Fixed by position alone, so that it cannot have been chosen to please. The deepest tap, which sees most of what the
    classifier uses, is fitted: fits without it went astray (docs/decisions/0007). Each reserved tap has fitted ones in
    front of it and behind it.

    Raises:
        RegistrationError: fewer than three taps, so that none could be reserved beside two fitted ones.
    """
    if len(names) < FEWEST_TAPS:
        raise RegistrationError(
            f"the model has {len(names)} tensors to compare statistics at, outputs of convolutions, inputs of "
            f"BatchNormalization nodes or outputs of linear layers; {FEWEST_TAPS} are needed"
        )
    last_but_one = len(names) - 2
    return tuple(
        Tap(name=name, channels=channels[name], reserved=index > 0 and (last_but_one - index) % 3 == 0)
        for index, name in enumerate(names)
    )


def register(
    content: bytes,
    *,
    name: str,
    spec: InputSpec,
    source: Dataset | None,
    labels: tuple[str, ...] | None,
    card: str | None,
    scores: str | None = None,
    keep_source: bool = False,
    done: Callable[[float], None] = lambda _share: None,
) -> Bundle[ModelManifest]:
    """Everything that the service needs to know of a frozen model.

    Args:
        source: images that the model was made for; without them its BatchNormalization nodes must do.
        labels: class names; numbers where None.
        card: Markdown about the model, kept beside it.
        scores: the output with the class scores; the first that can be one, by default.
        keep_source: whether source images, an even spread of as many as there is room for, go into the bundle.
        done: told the share of the fingerprint that is made.

    Raises:
        RegistrationError: there are neither source images nor BatchNormalization nodes, or something does not fit.
        FrozenError: the graph cannot be read as a differentiable module, or does not agree with onnxruntime.
    """
    # First what no source image could mend.
    scores = find_scores(content, spec, scores)
    statistics = batchnorm_statistics(content)
    names = _tap_names(content, tuple(statistics), source)
    example = source.images[:ROWS_TRIED] if source is not None else spec.to_planes(spec.noise(ROWS_TRIED))
    probed = probe(content, spec, names, scores=scores, example=example)
    output = probed.output
    _check_labels(source, output.classes)
    taps = choose_taps(tuple(probed.channels), probed.channels)
    sha256 = sha256_hex(content)
    fingerprint = (
        from_batchnorm(statistics, taps, frozen_sha256=sha256)
        if source is None
        else from_images(probed.reading, source, taps, spec, frozen_sha256=sha256, output=output, done=done)
    )
    files = {"model.onnx": content, "fingerprint.npz": fingerprint.to_bytes()}
    if card is not None:
        files["README.md"] = card.encode()
    if keep_source:
        files[SOURCE_FILE] = _kept(source, spec)
    manifest = ModelManifest(
        frozen_sha256=sha256,
        input=spec,
        files=describe(files),
        name=name,
        output=output,
        labels=_labels(labels, output.classes),
        taps=taps,
        fingerprint=fingerprint.kind,
    )
    return Bundle(sha256_hex(manifest.to_bytes()), manifest, files)


def _kept(source: Dataset | None, spec: InputSpec) -> bytes:
    if source is None:
        raise RegistrationError("there are no source images to keep; give some with --source")
    count = min(len(source.images), room_for(spec))
    if not count:
        raise RegistrationError(f"images of {spec.shape} are too large to be kept; leave --keep-source out")
    kept = source.take(np.linspace(0, len(source.images) - 1, count).astype(int))
    return to_bytes(kept.images, kept.labels)


def _tap_names(content: bytes, normalized: tuple[str, ...], source: Dataset | None) -> tuple[str, ...]:
    """All taps where there are source images, else those whose statistics BatchNormalization nodes keep."""
    found = find_taps(content)
    if not found and b"DynamicQuantizeLinear" in content:
        raise RegistrationError(
            "the model is quantized while it runs: the scale of its layers depends on the whole batch, and so do their "
            "outputs; give the float file, or one quantized statically (QDQ)"
        )
    if not found:
        raise RegistrationError(
            "the model has neither convolutions nor linear layers with stored weights to compare statistics at; "
            "no corrector can be fitted in front of it"
        )
    if source is None and not normalized:
        raise RegistrationError(
            "the model keeps no BatchNormalization nodes (most exporters fold them) and no source images were given; "
            "give some with --source, an .npz with x (and y) or a folder of class folders"
        )
    if source is not None and len(source.images) < FEWEST_IMAGES:
        raise RegistrationError(f"{len(source.images)} source images were given; at least {FEWEST_IMAGES} are needed")
    return found if source is not None else normalized


def _check_labels(source: Dataset | None, classes: int) -> None:
    if source is None or source.labels is None:
        return
    low, high = int(source.labels.min()), int(source.labels.max())
    if low < 0 or high >= classes:
        raise RegistrationError(f"source labels run from {low} to {high}; the model has classes 0 to {classes - 1}")


def _labels(labels: tuple[str, ...] | None, classes: int) -> tuple[str, ...]:
    if labels is None:
        return tuple(str(index) for index in range(classes))
    if len(labels) != classes:
        raise RegistrationError(f"{len(labels)} labels were given; the model has {classes} classes")
    return labels
