"""Who asks, and what they may: API keys with scopes, bound to domains.

A key is `fo_ID_SECRET`, with a secret of 256 random bits: a plain SHA-256 of it is as hard to invert as the key is to
guess, and costs a microsecond a request. Only that is stored. Without any key a service answers everyone, which is why
it then stays on loopback; from the first key on, also a revoked one, it answers nobody without.
"""

import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from service.contract.digest import sha256_hex
from service.database.domains import DEFAULT
from service.database.keys import KeyRow
from service.errors import Forbidden, TooManyRequests, Unauthorized
from service.quota import Quotas

BEARER = "bearer"
KEY = re.compile(r"fo_(?P<id>[0-9a-f]{12})_[A-Za-z0-9_-]{43}")
FAILURES_PER_MINUTE = 10
OPEN = "-"


class Scope(StrEnum):
    """What a key may be good for."""

    PREDICT = "predict"
    """Predictions, and what clients of the Open Inference Protocol look up first."""
    ADAPT = "adapt"
    """Posting batches and following their jobs."""
    OBSERVE = "observe"
    """Reading everything: models, versions, domains, jobs, metrics."""
    ADMIN = "admin"
    """Changing what is served: activate, roll back, approve, switch off, create and remove domains."""


@dataclass(frozen=True)
class Principal:
    """Who asks.

    Attributes:
        id: of the key; OPEN without keys.
        domains: that it is bound to; None for all.
        predict_per_s, adapt_per_h: its quotas of images and batches; None for none.
    """

    id: str
    scopes: frozenset[Scope]
    domains: frozenset[str] | None = None
    predict_per_s: float | None = None
    adapt_per_h: float | None = None
    expires_at: float | None = None

    def require(self, scopes: frozenset[Scope], domain: str | None = None) -> None:
        """Let pass who has one of these scopes, for this domain if one is meant.

        Raises:
            Forbidden: it has not.
        """
        if not scopes & self.scopes:
            raise Forbidden(f"this key lacks the scope {' or '.join(sorted(scopes))}")
        if domain is not None and not self.sees(domain):
            raise Forbidden("this key is bound to other domains")

    def sees(self, domain: str) -> bool:
        """Whether a domain is one of its own."""
        return self.domains is None or domain in self.domains

    @property
    def home(self) -> str:
        """The domain that is meant where none can be named: `default`, or the first of its own."""
        return DEFAULT if self.sees(DEFAULT) else min(self.domains or ())


EVERYONE = Principal(OPEN, frozenset(Scope))
NOBODY = Principal(OPEN, frozenset())


@dataclass(frozen=True)
class _Held:
    sha256: str
    principal: Principal


class Keyring:
    """The keys that are good now.

    Args:
        open_without_keys: whether everyone may do everything as long as no key was ever made.
        clock: seconds since 1970.
    """

    def __init__(self, *, open_without_keys: bool, clock: Callable[[], float] = time.time) -> None:
        self._open_without_keys = open_without_keys
        self._clock = clock
        self._failures = Quotas()
        # Replaced as a whole: whoever reads it on the event loop needs no lock.
        self._held: dict[str, _Held] = {}
        self._is_locked = False

    def replace(self, rows: Iterable[KeyRow]) -> None:
        """Take over what the database has."""
        known = list(rows)
        self._held = {row.id: _Held(row.sha256, _principal(row)) for row in known if row.revoked_at is None}
        # A table that was emptied does not open the door again.
        self._is_locked = self._is_locked or bool(known)

    def knows(self, key_id: str) -> bool:
        """Whether a key is good as far as the database was read."""
        return key_id in self._held

    @property
    def has_keys(self) -> bool:
        """Whether a key was ever made."""
        return self._is_locked

    @property
    def is_open(self) -> bool:
        """Whether everyone may do everything."""
        return self._open_without_keys and not self._is_locked

    def authenticate(self, authorization: bytes | None, peer: str) -> Principal:
        """Who shows this `Authorization` header.

        Args:
            peer: the client's address, whose failures are counted.

        Raises:
            Unauthorized: no key, or one that is not good.
            TooManyRequests: the same, once too often.
        """
        if self.is_open:
            return EVERYONE
        scheme, _, shown = (authorization or b"").decode("latin-1").partition(" ")
        match = KEY.fullmatch(shown) if scheme.lower() == BEARER else None
        held = self._held.get(match["id"]) if match else None
        if held is not None and hmac.compare_digest(held.sha256, sha256_hex(shown.encode())):
            expires_at = held.principal.expires_at
            if expires_at is None or self._clock() < expires_at:
                return held.principal
        wait_s = self._failures.take(peer, 1, per_s=FAILURES_PER_MINUTE / 60, burst=FAILURES_PER_MINUTE)
        if wait_s:
            raise TooManyRequests("too many requests without a good key", retry_after_s=wait_s)
        raise Unauthorized("a key is needed: send it as 'Authorization: Bearer fo_...'")


def make_key(
    name: str,
    scopes: Iterable[Scope],
    *,
    domains: Iterable[str] | None = None,
    predict_per_s: float | None = None,
    adapt_per_h: float | None = None,
    created_at: float,
    expires_at: float | None = None,
) -> tuple[str, KeyRow]:
    """A new key and what is kept of it."""
    public = secrets.token_hex(6)
    key = f"fo_{public}_{secrets.token_urlsafe(32)}"
    row = KeyRow(
        id=public,
        name=name,
        sha256=sha256_hex(key.encode()),
        scopes=",".join(sorted(scopes)),
        domains=None if domains is None else ",".join(sorted(domains)),
        predict_per_s=predict_per_s,
        adapt_per_h=adapt_per_h,
        created_at=created_at,
        expires_at=expires_at,
    )
    return key, row


def _principal(row: KeyRow) -> Principal:
    # A scope of another release is nobody's here, and no reason to lose the other keys.
    scopes = frozenset(Scope(name) for name in row.scopes.split(",") if name in set(Scope))
    domains = None if row.domains is None else frozenset(row.domains.split(","))
    return Principal(row.id, scopes, domains, row.predict_per_s, row.adapt_per_h, row.expires_at)
