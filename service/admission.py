"""Who gets past the door: the right Host, and a key where keys are needed. Decided before anything of a body is read.

Nothing here looks at a URL that was put together from headers: only the connection's path and the headers themselves.
"""

from collections.abc import Collection
from functools import lru_cache

from service.auth import EVERYONE, Keyring, Principal
from service.errors import Misdirected
from service.needs import PUBLIC
from service.wire import Call


class Admission:
    """The door.

    Args:
        hosts: names that a Host header may give, without port; any name if empty.
    """

    def __init__(self, keyring: Keyring, hosts: Collection[str]) -> None:
        self._keyring = keyring
        self._hosts = frozenset(host.lower() for host in hosts)
        self._is_ours = lru_cache(maxsize=256)(self._compare)

    def admit(self, call: Call) -> Principal:
        """Who asks.

        Raises:
            Misdirected: for somebody else.
            Unauthorized, TooManyRequests: without a good key.
        """
        if self._hosts and not self._is_ours(call.headers.get(b"host", b"")[:256]):
            raise Misdirected("the Host header does not name this service; see FOREOPTIC_HOSTS")
        if call.scope["path"] in PUBLIC:
            return EVERYONE
        client = call.scope.get("client")
        return self._keyring.authenticate(call.headers.get(b"authorization"), client[0] if client else "")

    def _compare(self, host: bytes) -> bool:
        name, colon, port = host.decode("latin-1").lower().rpartition(":")
        # "[::1]" has colons and no port, "localhost" has neither.
        is_with_port = bool(colon) and port.isdigit() and (":" not in name or name.endswith("]"))
        return (name if is_with_port else host.decode("latin-1").lower()).strip("[]") in self._hosts
