"""Free TCP ports on the loopback interface.

Ports are taken below the range from which systems give out the ports of outgoing connections (32768 and up on Linux):
a server that is to be started again on its port must not find a connection of somebody else on it.
"""

import secrets
import socket
from collections.abc import Collection

LOOPBACK = "127.0.0.1"
_NEXT = 100
_LOWEST, _BEYOND = 20_000, 32_000


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(preferred: int = 0, *, host: str = LOOPBACK, taken: Collection[int] = ()) -> int:
    """`preferred` or the next free one; any free one if `preferred` is 0 or all near it are busy."""
    if preferred:
        for port in range(preferred, min(preferred + _NEXT, 65_536)):
            if port not in taken and is_free(port, host):
                return port
    while True:
        port = _LOWEST + secrets.randbelow(_BEYOND - _LOWEST)
        if port not in taken and is_free(port, host):
            return port
