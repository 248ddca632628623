"""Models, their published versions, and the kill switch."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Response
from pydantic import BaseModel

from service.auth import Principal, Scope
from service.context import Context, Ctx
from service.contract.errors import ContractError
from service.contract.manifest import IDENTITY, CorrectorManifest
from service.database import domains, models, versions
from service.database.versions import VersionRow
from service.engine.rehearsal import CORRECTOR_FILE
from service.engine.session import runtime_version
from service.errors import NotFound, Unavailable
from service.needs import Asking, needs
from service.resources import LARGEST_VERSION, Version, model_resource

router = APIRouter(prefix="/v1", tags=["models"])

READS = needs(Scope.OBSERVE, Scope.ADMIN)

Number = Annotated[int, Path(ge=0, le=LARGEST_VERSION)]


class Correction(BaseModel):
    """The kill switch."""

    enabled: bool


@router.get("/models", dependencies=READS)
def list_models(context: Ctx, asking: Asking) -> dict[str, Any]:
    """Every model that is served."""
    return {"models": [_resource(context, asking, name) for name in context.registry.names()]}


@router.get("/models/{model}", dependencies=READS)
def get_model(context: Ctx, asking: Asking, model: str) -> dict[str, Any]:
    """One model: its input, labels, domains and the SHA-256 of the frozen bytes."""
    context.model(model)
    return _resource(context, asking, model)


@router.get("/models/{model}/attestation", dependencies=READS)
def attest(context: Ctx, model: str) -> dict[str, Any]:
    """What an auditor asks: which bytes answer, and how they are run."""
    served = context.model(model)
    return {
        "model": model,
        "frozen_sha256": served.row.frozen_sha256,
        "bundle_digest": served.row.digest,
        "verified": "SHA-256 of the bytes handed to onnxruntime, compared when the model was loaded",
        "runtime": {"name": "onnxruntime", "version": runtime_version()},
        "session_options": served.options,
        "callers_share_runs": served.mixes,
        "correction_enabled": served.row.correction_enabled,
        "taps": [tap.model_dump() for tap in served.manifest.taps],
        "fingerprint": served.manifest.fingerprint,
    }


@router.put("/models/{model}/correction", dependencies=needs(Scope.ADMIN, every_domain=True))
def set_correction(context: Ctx, model: str, correction: Correction) -> Correction:
    """Kill switch: while it is off, every domain of the model is served uncorrected."""
    context.model(model)
    with context.database.write() as connection:
        models.set_correction(connection, model, correction.enabled)
    context.registry.refresh()
    return correction


@router.get("/models/{model}/versions", dependencies=READS)
def list_versions(context: Ctx, asking: Asking, model: str) -> dict[str, list[Version]]:
    """Every published version, newest first; the last is 0, the identity."""
    served = context.model(model)
    with context.database.read() as connection:
        rows = [row for row in versions.of_model(connection, served.row.frozen_sha256) if asking.sees(row.domain)]
    return {"versions": [*map(Version.of, rows), Version.identity()]}


@router.get("/models/{model}/versions/{version}", dependencies=READS)
def get_version(context: Ctx, asking: Asking, model: str, version: Number) -> dict[str, Any]:
    """One version with its manifest: method, stages, provenance."""
    if version == IDENTITY:
        context.model(model)
        return {**Version.identity().model_dump(), "manifest": None}
    row = _find(context, asking, model, version)
    return {**Version.of(row).model_dump(), "manifest": _bundle(context, row).manifest.model_dump(mode="json")}


@router.get(
    "/models/{model}/versions/{version}/corrector.onnx",
    response_class=Response,
    dependencies=needs(Scope.PREDICT, Scope.OBSERVE, Scope.ADMIN),
)
def download(
    context: Ctx, asking: Asking, model: str, version: Number, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """The corrector itself, for a device that runs the frozen model on its own."""
    row = _find(context, asking, model, version)
    bundle = _bundle(context, row)
    etag = f'"{bundle.manifest.files[CORRECTOR_FILE].sha256}"'
    if if_none_match is not None and (etag in if_none_match or if_none_match.strip() == "*"):
        return Response(status_code=304, headers={"etag": etag})
    return Response(bundle.files[CORRECTOR_FILE], media_type="application/octet-stream", headers={"etag": etag})


def _resource(context: Context, asking: Principal, name: str) -> dict[str, Any]:
    served = context.model(name)
    with context.database.read() as connection:
        names = [row.name for row in domains.every(connection, name) if asking.sees(row.name)]
    return model_resource(served.manifest, correction_enabled=served.row.correction_enabled, domains=names)


def _find(context: Context, asking: Principal, model: str, version: int) -> VersionRow:
    served = context.model(model)
    with context.database.read() as connection:
        row = versions.find(connection, served.row.frozen_sha256, version)
    if row is None or not asking.sees(row.domain):
        raise NotFound(f"no published version {version}; see /v1/models/{model}/versions")
    return row


def _bundle(context: Context, row: VersionRow):  # type: ignore[no-untyped-def]  # Bundle[CorrectorManifest], inferred
    try:
        return context.store.read(row.digest, CorrectorManifest)
    except ContractError as error:
        raise Unavailable("this version's bundle is damaged and is not handed out") from error
