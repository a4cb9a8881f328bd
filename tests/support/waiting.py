"""Waiting for conditions instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Result = TypeVar("Result")
_PAUSE = 0.02


def wait_until(condition: Callable[[], Result], *, within: float = 10.0, what: str = "") -> Result:
    """The first truthy result of `condition`; fails the test if there is none `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what or condition} (last: {result!r})")
        time.sleep(_PAUSE)


async def eventually(
    condition: Callable[[], Awaitable[Result] | Result], *, within: float = 10.0, what: str = ""
) -> Result:
    """As `wait_until`, on the event loop; `condition` may be a coroutine function."""
    deadline = time.monotonic() + within
    while True:
        answer = condition()
        result: Result = await answer if inspect.isawaitable(answer) else answer
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what or condition} (last: {result!r})")
        await asyncio.sleep(_PAUSE)
