"""Every stage that a corrector can be made of, as a graph of its own for one input. A new stage appears by itself."""

import pkgutil
from importlib import import_module

from service.contract.digest import sha256_hex
from service.contract.input_spec import InputSpec
from service.contract.manifest import ModelManifest, OutputSpec
from trainer import stages
from trainer.corrector import Corrector
from trainer.export import to_onnx
from trainer.frame import Frame
from trainer.stages import Stage

TOGETHER = "all together"


def known_stages() -> tuple[type[Stage], ...]:
    """The stages that the modules of `trainer.stages` define."""
    modules = [import_module(f"{stages.__name__}.{found.name}") for found in pkgutil.iter_modules(stages.__path__)]
    return tuple(
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Stage) and value.__module__ == module.__name__
    )


def correctors(spec: InputSpec) -> dict[str, Corrector]:
    """Each stage alone, smallest first, and all of them in a row; as they start: time does not depend on numbers."""
    low, high = spec.plane_bounds()
    # No background is what costs a warp the most: it then repeats the border.
    frame = Frame(spec.shape, background=None, span=tuple(float(side) for side in high - low))
    made = sorted((Corrector([stage(frame)]) for stage in known_stages()), key=Corrector.size)
    alone = {corrector.names()[0]: corrector for corrector in made}
    return {**alone, TOGETHER: Corrector([stage for corrector in made for stage in corrector.stages])}


def exported(corrector: Corrector, spec: InputSpec) -> bytes:
    """The graph that a fit would publish, in front of no model in particular."""
    manifest = ModelManifest(
        frozen_sha256=sha256_hex(b""),
        input=spec,
        files={},
        name="unregistered",
        output=OutputSpec(name="scores", classes=1, scores="logits"),
        labels=(),
        taps=(),
        fingerprint="full",
    )
    return to_onnx(corrector, manifest, method="doctor")
