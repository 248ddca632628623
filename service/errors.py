"""What an HTTP client can be told. Core code raises its own errors; they become one of these at the edge, once.

Problem                     status
├── Malformed               400  the body or a parameter cannot be read
├── Unauthorized            401  no key, or one that is not good; WWW-Authenticate
├── Forbidden               403  the key is good, and not for this
├── NotFound                404  no such model, version, domain or job
├── MethodNotAllowed        405  the resource is there, the method is not
├── TooSlow                 408  the request did not arrive in time
├── Conflict                409  the state is not the one that the request was based on
├── TooLarge                413  body, pixels or items beyond a cap
├── UnsupportedType         415  a media type or encoding that we do not take
├── Misdirected             421  the Host header names another service
├── Unprocessable           422  readable, but shape, type, values or count do not fit the model
├── TooManyRequests         429  a quota is used up, the job queue full, or too many follow events; Retry-After
├── HeadTooLarge            431  more headers, or longer ones, than are taken
├── Internal                500  a defect of ours; details are in the log under the request id
├── NotImplementedYet       501  part of the protocol that this release lacks
├── Unavailable             503  overloaded or starting; Retry-After
└── StoreFull               507  the disk is full

Bodies are RFC 9457 `application/problem+json` with one extra member, `error`, which Triton's client reads. They never
hold a stack trace, a path or a library's message.
"""

from typing import ClassVar

import orjson

from service.contract import errors as contract

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """Base of all answers that are no success."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s

    def body(self) -> bytes:
        """The problem+json document."""
        return orjson.dumps(
            {
                "type": f"urn:foreoptic:problem:{self.kind}",
                "title": self.title,
                "status": self.status,
                "detail": self.detail,
                "error": self.detail,
            }
        )

    def headers(self) -> dict[str, str]:
        """Headers that belong to the problem."""
        headers = {"content-type": MEDIA_TYPE}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(self.retry_after_s)
        return headers


class Malformed(Problem):
    """The body or a parameter cannot be read."""

    status, kind, title = 400, "malformed", "Malformed request"


class Unauthorized(Problem):
    """No key, or one that is not good."""

    status, kind, title = 401, "unauthorized", "Unauthorized"

    def headers(self) -> dict[str, str]:
        """With the scheme that is asked for."""
        return {**super().headers(), "www-authenticate": "Bearer"}


class Forbidden(Problem):
    """The key is good, and not for this."""

    status, kind, title = 403, "forbidden", "Forbidden"


class NotFound(Problem):
    """No such model, version, domain or job."""

    status, kind, title = 404, "not-found", "Not found"


class MethodNotAllowed(Problem):
    """The resource is there, the method is not."""

    status, kind, title = 405, "method-not-allowed", "Method not allowed"


class TooSlow(Problem):
    """The request did not arrive in time."""

    status, kind, title = 408, "too-slow", "Request timeout"

    def __init__(self) -> None:
        super().__init__("the request did not arrive in time")


class Conflict(Problem):
    """The state is not the one that the request was based on."""

    status, kind, title = 409, "conflict", "Conflict"


class TooLarge(Problem):
    """Body, pixels or items beyond a cap."""

    status, kind, title = 413, "too-large", "Too large"


class UnsupportedType(Problem):
    """A media type or encoding that we do not take."""

    status, kind, title = 415, "unsupported-type", "Unsupported media type"


class Misdirected(Problem):
    """The Host header names another service: a page elsewhere may have had its name resolved to this machine."""

    status, kind, title = 421, "misdirected", "Misdirected request"


class Unprocessable(Problem):
    """Readable, but shape, type, values or count do not fit the model."""

    status, kind, title = 422, "unprocessable", "Does not fit the model"


class TooManyRequests(Problem):
    """A quota is used up, the job queue is full, or too many follow events."""

    status, kind, title = 429, "too-many-requests", "Too many requests"


class HeadTooLarge(Problem):
    """More headers, or longer ones, than are taken."""

    status, kind, title = 431, "head-too-large", "Request header fields too large"

    def __init__(self) -> None:
        super().__init__("the address and the headers are longer than accepted")


class Internal(Problem):
    """A defect of ours; what it was is in the log, under the request id."""

    def __init__(self) -> None:
        super().__init__("something went wrong here; quote the X-Request-Id of this answer to whoever runs the service")


class NotImplementedYet(Problem):
    """Part of the protocol that this release lacks."""

    status, kind, title = 501, "not-implemented", "Not implemented"


class Unavailable(Problem):
    """Overloaded or not ready."""

    status, kind, title = 503, "unavailable", "Unavailable"


class StoreFull(Problem):
    """The disk takes no more."""

    status, kind, title = 507, "store-full", "Store full"


_INPUT: tuple[tuple[type[contract.InputError], type[Problem]], ...] = (
    (contract.UnknownFormat, UnsupportedType),
    (contract.TooManyPixels, TooLarge),
    (contract.DamagedPicture, Malformed),
    (contract.InputError, Unprocessable),
)


def of_input(error: contract.InputError) -> Problem:
    """The problem that an input error is on `/v1`."""
    return next(problem for kind, problem in _INPUT if isinstance(error, kind))(str(error))


def of_status(status: int) -> Problem:
    """The problem for what the framework itself answers: an unknown route or method, an unreadable parameter."""
    known = {
        404: NotFound("there is nothing under this path; see /openapi.json"),
        405: MethodNotAllowed("this path does not take this method; see /openapi.json"),
        413: TooLarge("the request is larger than accepted"),
    }
    if status in known:
        return known[status]
    return Internal() if status >= 500 else Malformed("the request cannot be read")
