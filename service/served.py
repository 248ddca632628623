"""A frozen model as it is served, and the way there from its row in the database. Which ones are served: `registry.py`.

Loading may fail in every library below it. Each model fails alone: what comes out of here is a model, or one error
that says which.
"""

import time
from dataclasses import dataclass
from functools import cached_property

from service import log
from service.contract.errors import ContractError
from service.contract.manifest import ModelManifest
from service.contract.store import ArtifactStore
from service.database.models import ModelRow
from service.engine.pipeline import Pipeline, mixes_exactly
from service.engine.provider import Provider
from service.engine.rehearsal import load_frozen
from service.engine.session import OutputTensor, SessionError

logger = log.get(__name__)


@dataclass(frozen=True)
class ServedModel:
    """A frozen model, loaded.

    Attributes:
        device: what it really computes on.
        mixes: whether callers share runs.
        run_s: how long one run with as many images as a run may have took.
    """

    row: ModelRow
    manifest: ModelManifest
    pipeline: Pipeline
    outputs: tuple[OutputTensor, ...]
    options: dict[str, str]
    device: Provider
    mixes: bool
    run_s: float

    @cached_property
    def positions(self) -> dict[str, int]:
        """Where each output stands among the frozen model's, by name."""
        return {output.name: place for place, output in enumerate(self.outputs)}


def load_model(
    row: ModelRow, store: ArtifactStore, *, threads: int, micro_batch: int, provider: Provider = Provider.CPU
) -> ServedModel | None:
    """Read, load and warm a model; None, and a line in the log, where that cannot be done.

    Args:
        micro_batch: most images in a run; the sizes up to it are compared.
    """
    try:
        bundle = store.read(row.digest, ModelManifest)
        frozen = load_frozen(bundle, threads=threads, provider=provider)
        noise = bundle.manifest.input.noise(micro_batch)
        mixes = mixes_exactly(frozen.graph, noise)
        started = time.perf_counter()
        frozen.graph.run(noise)
        run_s = time.perf_counter() - started
    except (ContractError, SessionError) as error:
        logger.error("model cannot be loaded", model=row.name, reason=str(error))
        return None
    # Nobody foresaw it; the other models have to be served all the same.
    except Exception:
        logger.exception("model cannot be loaded", model=row.name)
        return None
    logger.info(
        "model loaded",
        model=row.name,
        frozen_sha256=row.frozen_sha256[:12],
        device=frozen.device,
        callers_share_runs=mixes,
    )
    pipeline = Pipeline(frozen.graph, mixes=mixes, chain=frozen.chain)
    return ServedModel(row, bundle.manifest, pipeline, frozen.outputs, frozen.options, frozen.device, mixes, run_s)
