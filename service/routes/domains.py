"""Domains: create, configure, delete; move the champion forward and back."""

from typing import Annotated

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, Field

from service.auth import Scope
from service.context import Context, Ctx
from service.contract.errors import ContractError
from service.contract.manifest import IDENTITY, NAME, NAME_RULE
from service.database import domains
from service.database.domains import DomainRow, Mode
from service.engine.session import SessionError
from service.errors import Conflict, Malformed, NotFound, Unavailable
from service.needs import Asking, needs
from service.registry import Stale, Unknown
from service.resources import LARGEST_VERSION, Domain

router = APIRouter(prefix="/v1/models/{model}/domains", tags=["domains"])
READS = needs(Scope.ADAPT, Scope.OBSERVE, Scope.ADMIN)

IfMatch = Annotated[str | None, Header()]


class DomainSettings(BaseModel):
    """What an operator decides about a domain."""

    mode: Mode = Mode.AUTO
    canary_share: float = Field(0.0, ge=0.0, le=1.0)


class Activation(BaseModel):
    """Which version is to serve."""

    version: int = Field(ge=0, le=LARGEST_VERSION)


@router.get("", dependencies=READS)
def list_domains(context: Ctx, asking: Asking, model: str) -> dict[str, list[Domain]]:
    """Every domain of a model."""
    context.model(model)
    with context.database.read() as connection:
        return {"domains": [Domain.of(row) for row in domains.every(connection, model) if asking.sees(row.name)]}


@router.get("/{domain}", response_model=Domain, dependencies=READS)
def get_domain(context: Ctx, response: Response, model: str, domain: str) -> Domain:
    """One domain; its ETag is the generation that If-Match takes."""
    return _tagged(response, _find(context, model, domain))


@router.put("/{domain}", response_model=Domain, dependencies=needs(Scope.ADMIN))
def put_domain(
    context: Ctx, response: Response, model: str, domain: str, settings: DomainSettings, if_match: IfMatch = None
) -> Domain:
    """Create a domain or change its settings; a new one starts uncorrected."""
    context.model(model)
    if not NAME.fullmatch(domain):
        raise Malformed(f"a domain's name is {NAME_RULE}")
    with context.database.write() as connection:
        row = domains.find(connection, model, domain)
        if row is None:
            if if_match is not None:
                raise Conflict("If-Match names a generation of a domain that does not exist")
            if domains.count(connection, model) >= context.settings.domain_limit:
                raise Conflict(f"the model has {context.settings.domain_limit} domains already; delete one first")
            row = DomainRow(model, domain, settings.mode, settings.canary_share)
            domains.add(connection, row)
            response.status_code = 201
        else:
            _require_generation(row, if_match)
            domains.configure(connection, row, mode=settings.mode, canary_share=settings.canary_share)
    context.registry.refresh()
    return _tagged(response, _find(context, model, domain))


@router.delete("/{domain}", status_code=204, dependencies=needs(Scope.ADMIN))
def delete_domain(context: Ctx, model: str, domain: str, if_match: IfMatch = None) -> None:
    """Forget a domain; its published versions stay. `default` stays, too."""
    if domain == domains.DEFAULT:
        raise Conflict("the domain 'default' always exists")
    row = _find(context, model, domain)
    _require_generation(row, if_match)
    with context.database.write() as connection:
        if not domains.remove(connection, row):
            raise Conflict("the domain changed meanwhile; look again")
    context.registry.refresh()


@router.post("/{domain}/activate", response_model=Domain, dependencies=needs(Scope.ADMIN))
def activate(
    context: Ctx,
    asking: Asking,
    response: Response,
    model: str,
    domain: str,
    activation: Activation,
    if_match: IfMatch = None,
) -> Domain:
    """Make a published version champion; 0 is the identity."""
    row = _find(context, model, domain)
    if activation.version not in (IDENTITY, row.champion, row.shadow, row.previous):
        try:
            context.require_seen(model, activation.version, asking)
        except Unknown as error:
            raise NotFound(str(error)) from error
    return _tagged(response, _move(context, row, activation.version, if_match))


@router.post("/{domain}/rollback", response_model=Domain, dependencies=needs(Scope.ADMIN))
def roll_back(context: Ctx, response: Response, model: str, domain: str, if_match: IfMatch = None) -> Domain:
    """Make the previous champion champion again."""
    row = _find(context, model, domain)
    if row.previous is None:
        raise Conflict("the domain has no previous version to go back to")
    return _tagged(response, _move(context, row, row.previous, if_match))


def _move(context: Context, row: DomainRow, version: int, if_match: str | None) -> DomainRow:
    _require_generation(row, if_match)
    try:
        return context.registry.activate(row.model, row.name, version, generation=row.generation)
    except Unknown as error:
        raise NotFound(str(error)) from error
    except Stale as error:
        raise Conflict(str(error)) from error
    except (ContractError, SessionError) as error:
        raise Unavailable("the version cannot be served; the champion stays") from error


def _find(context: Context, model: str, domain: str) -> DomainRow:
    context.model(model)
    with context.database.read() as connection:
        row = domains.find(connection, model, domain)
    if row is None:
        raise NotFound(f"no such domain of model '{model}'; its first batch or a PUT creates it")
    return row


def _require_generation(row: DomainRow, if_match: str | None) -> None:
    if if_match is not None and if_match.strip() not in ("*", _etag(row)):
        raise Conflict(f"If-Match names another generation than the domain's, which is {row.generation}; look again")


def _tagged(response: Response, row: DomainRow) -> Domain:
    response.headers["etag"] = _etag(row)
    return Domain.of(row)


def _etag(row: DomainRow) -> str:
    return f'"{row.generation}"'
