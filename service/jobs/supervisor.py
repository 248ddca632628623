"""Keeps one worker process alive beside the service, and takes it along when the service goes."""

import asyncio
import contextlib
import os
import sys

from service import log
from service.metrics import Metrics
from service.settings import Settings

logger = log.get(__name__)

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
STOP_S = 5.0


class Supervisor:
    """Starts `python -m service.jobs` and starts it again whenever it ends."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._environment = {**os.environ, **_environment(settings)}
        self._metrics = metrics
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the worker, None between two of them."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def supervise(self) -> None:
        """Run until cancelled; then end the worker."""
        pause_s = FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        try:
            while True:
                started = loop.time()
                try:
                    status: int | str = await self._run_once()
                except OSError as error:
                    status = f"not started: {error.strerror}"
                # One that lived for a while was well: the next may start at once.
                pause_s = (
                    FIRST_PAUSE_S if loop.time() - started > LONGEST_PAUSE_S else min(2 * pause_s, LONGEST_PAUSE_S)
                )
                logger.error("worker ended", status=status, next_start_in_s=round(pause_s, 1))
                await asyncio.sleep(pause_s)
        finally:
            await self._stop()

    async def _run_once(self) -> int:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "service.jobs",
            "--lifeline",
            stdin=asyncio.subprocess.PIPE,
            env=self._environment,
            # A Ctrl-C in the terminal is for the service; the worker follows through its lifeline.
            start_new_session=True,
        )
        self._metrics.worker_starts.inc()
        logger.info("worker started", pid=self._process.pid)
        return await self._process.wait()

    async def _stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _environment(settings: Settings) -> dict[str, str]:
    """The settings again, as the environment that the worker reads them from."""
    values = settings.model_dump(mode="json", exclude_none=True)
    values["home"] = str(settings.home.resolve())
    return {f"FOREOPTIC_{name.upper()}": _written(value) for name, value in values.items()}


def _written(value: object) -> str:
    """As a person would write it: names in a list are separated by commas."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
