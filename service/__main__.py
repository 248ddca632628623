"""`python -m service`: settings, application, server."""

import argparse
import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator

import uvicorn

from service import log
from service.app import create_app
from service.connection import Connection, sweep
from service.contract.lifeline import end_with_parent
from service.settings import LOOPBACK, Settings

DRAIN_S = 30


class OpenDoor(Exception):
    """The service would answer anyone who can reach it."""


def serve(settings: Settings, *, on_start: Callable[[str], None] = lambda _url: None) -> None:
    """Run the service until it is told to stop.

    Args:
        on_start: told the URL once the service listens.

    Raises:
        OpenDoor: other machines can reach it, and it has no keys.
    """
    log.configure(as_json=settings.log_json)
    app = create_app(settings)
    if not (settings.is_local or settings.insecure_bind or app.context.keyring.has_keys):
        raise OpenDoor(
            f"host {settings.host} is reachable from other machines and there are no keys: make one with "
            f"`foreoptic keys add`, bind one of {', '.join(LOOPBACK)}, "
            "or say --insecure-bind if the network is yours alone"
        )
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        http=Connection,
        timeout_graceful_shutdown=DRAIN_S,
    )
    listener = listen(settings.host, settings.port)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_serve(_Server(config), listener, on_start))


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address; the port is 0 for a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.set_inheritable(False)
    return listener


class _Server(uvicorn.Server):
    """uvicorn's server, except that a stop in order ends the process with status 0 and not with the signal again."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT finish what is in flight; a second SIGINT does not wait."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


async def _serve(server: uvicorn.Server, listener: socket.socket, on_start: Callable[[str], None]) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    running = asyncio.create_task(server.serve(sockets=[listener]))
    sweeping = asyncio.create_task(sweep(server.server_state.connections))
    while not server.started and not running.done():
        await asyncio.sleep(0.01)
    if server.started:
        _spare_the_collector()
        on_start(f"http://{shown}:{port}")
    await running
    sweeping.cancel()


def _spare_the_collector() -> None:
    """Keep the cyclic collector off what will stay anyway.

    A full collection walks through every object of every library, a tenth of a second in which nobody is answered.
    Requests leave no cycles to speak of, looking into the database a few.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def main() -> None:
    """Serve with the environment's settings; the URL is the one line on standard output."""
    parser = argparse.ArgumentParser(prog="python -m service", description=__doc__)
    parser.add_argument("--lifeline", action="store_true", help="end when standard input ends")
    if parser.parse_args().lifeline:
        end_with_parent()
    try:
        serve(Settings(), on_start=_print_url)
    except OpenDoor as error:
        raise SystemExit(str(error)) from error


def _print_url(url: str) -> None:
    sys.stdout.write(url + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
