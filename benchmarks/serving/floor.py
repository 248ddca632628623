"""What HTTP alone comes to here: uvicorn, and a bare ASGI application that reads the body and answers a constant."""

from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from service.__main__ import listen

BODY = b"x" * 40
HEADERS = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % len(BODY))]


async def floor(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Read, and answer."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


def run(app: object) -> None:
    """Serve an application on a free port, and print the URL."""
    listener = listen("127.0.0.1", 0)
    # Whoever reads the URL may connect at once.
    listener.listen()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    run(floor)
