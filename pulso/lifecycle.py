"""How a service runs: until a signal asks it to leave, with its own clean-up after that."""

import asyncio
import signal
from collections.abc import Coroutine

import structlog

log = structlog.get_logger()


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


async def until(stop: asyncio.Event, *tasks: Coroutine[object, object, None]) -> None:
    """Run `tasks` until `stop` is set, then cancel them; an error in one ends all and is raised."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(task) for task in tasks]
        await stop.wait()
        for task in running:
            task.cancel()
