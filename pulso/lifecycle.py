"""How a service runs: until a signal asks it to leave, with its own clean-up after that."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import TypeVar

import structlog

log = structlog.get_logger()

Result = TypeVar("Result")


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set; for a service whose loops watch it and drain.

    A second signal ends the process the default way.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def handle(received: signal.Signals) -> None:
        log.info("stopping", signal=received.name)
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
        stop.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, handle, each)
    return stop


async def before(stop: asyncio.Event, work: Coroutine[object, object, Result]) -> Result | None:
    """The result of `work`, or None if `stop` is set first, which cancels it."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
