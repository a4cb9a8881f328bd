"""Starting a child process that ends with us and may run as another user."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import TypedDict

from pulso.local.identity import Identity

_PR_SET_PDEATHSIG = 1


class SpawnOptions(TypedDict, total=False):
    """Arguments that subprocess and asyncio share."""

    user: int
    group: int
    extra_groups: list[int]
    start_new_session: bool
    preexec_fn: Callable[[], None]


def spawn_options(identity: Identity | None = None, *, death_signal: signal.Signals = signal.SIGTERM) -> SpawnOptions:
    """Options for a child that runs as `identity` and, on Linux, gets `death_signal` when this process dies.

    The child has a session of its own, so Ctrl-C in the terminal reaches the parent alone, which then stops its
    children in the right order.
    """
    options = SpawnOptions(start_new_session=True)
    if identity is not None:
        options |= SpawnOptions(user=identity.uid, group=identity.gid, extra_groups=[])
    if sys.platform == "linux":
        options["preexec_fn"] = _ends_with_parent(death_signal)
    return options


def _ends_with_parent(death_signal: signal.Signals) -> Callable[[], None]:
    # Loaded before the fork: a child of a process with threads must not import or lock anything.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def prepare() -> None:  # runs after the change of user, which would clear the setting
        prctl(_PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:  # it died before we could ask
            os.kill(os.getpid(), death_signal)

    return prepare
