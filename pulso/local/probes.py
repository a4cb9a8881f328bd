"""Asking a process on this machine whether it does its work yet. A probe answers and never raises."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from pulso.local.ports import LOOPBACK

_PATIENCE = 2.0  # seconds one question may take


def listening(port: int, host: str = LOOPBACK) -> Callable[[], Awaitable[bool]]:
    """A probe: somebody takes connections on this port."""

    async def probe() -> bool:
        try:
            async with asyncio.timeout(_PATIENCE):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            return False
        await _close(writer)
        return True

    return probe


def answers_ready(port: int, host: str = LOOPBACK) -> Callable[[], Awaitable[bool]]:
    """A probe: GET /readyz is answered with 200."""

    async def probe() -> bool:
        try:
            async with asyncio.timeout(_PATIENCE):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(f"GET /readyz HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
                status = await reader.readline()
        except (OSError, TimeoutError):
            return False
        await _close(writer)
        return status.split()[1:2] == [b"200"]

    return probe


def in_thread(question: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    """A probe from a function that blocks."""

    async def probe() -> bool:
        return await asyncio.to_thread(question)

    return probe


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
