"""What a route needs: declared beside it, and missing nowhere.

A route that says nothing would be open to everyone with a key, or to everyone: `refuse_undeclared` makes that a
service that does not start.
"""

from collections.abc import Iterable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from service.auth import Principal, Scope
from service.errors import Forbidden

PUBLIC = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
"""Probes, which have no key to show and learn nothing but yes or no."""


class Needs:
    """Lets a request pass whose key has one of the scopes, and is bound to the path's domain if it is bound.

    Args:
        every_domain: whether what the route does concerns them all, so that a key that is bound to some may not.
    """

    def __init__(self, *scopes: Scope, every_domain: bool = False) -> None:
        self.scopes = frozenset(scopes)
        self._every_domain = every_domain

    def __call__(self, request: Request) -> None:
        """Raises Forbidden."""
        principal = principal_of(request)
        principal.require(self.scopes, request.path_params.get("domain"))
        if self._every_domain and principal.domains is not None:
            raise Forbidden("this key is bound to some domains, and this concerns all of them")


def needs(*scopes: Scope, every_domain: bool = False) -> list[Dependency]:
    """For a route's or a router's `dependencies`."""
    return [Depends(Needs(*scopes, every_domain=every_domain))]


def principal_of(request: Request) -> Principal:
    """Who asks; the edge has found out."""
    principal: Principal = request.scope["state"]["principal"]
    return principal


Asking = Annotated[Principal, Depends(principal_of)]


def refuse_undeclared(routes: Iterable[BaseRoute]) -> None:
    """Raises TypeError where a router's route is not public and says nothing of what it needs, or cannot."""
    for route in routes:
        if not isinstance(route, APIRoute):
            raise TypeError(f"{type(route).__name__} cannot declare a scope; only plain routes are taken")
        if route.path not in PUBLIC and not any(isinstance(each.call, Needs) for each in route.dependant.dependencies):
            raise TypeError(f"route {route.path} declares no scope; give it dependencies=needs(...)")
