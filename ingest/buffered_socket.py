"""A socket that reads ahead."""

import socket
import ssl
from contextlib import suppress
from typing import Any

_READ_AHEAD = 65_536


class BufferedSocket:
    """Wraps a connected socket: reads 64 KiB at a time and hands it out in the small pieces a protocol asks for.

    paho reads a packet in three pieces with a system call each. `pending` tells how much is here already, as
    `ssl.SSLSocket.pending` does, so that a loop does not wait for a readable socket while data lie in the buffer.
    """

    def __init__(self, wrapped: socket.socket) -> None:
        self._wrapped = wrapped
        self._buffer = b""
        self._position = 0

    def recv(self, size: int) -> bytes:
        """At most `size` bytes; empty at the end of the stream. Raises what the socket's own `recv` raises."""
        if self._position == len(self._buffer):
            self._buffer = self._wrapped.recv(_READ_AHEAD)
            self._position = 0
        piece = self._buffer[self._position : self._position + size]
        self._position += len(piece)
        return piece

    def ahead(self) -> tuple[bytes, int]:
        """What has been read and from where on it has not been handed out; reads if there is nothing.

        No bytes if the network has none now or has ended, which the next `recv` will tell.
        """
        if self._position == len(self._buffer):
            with suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                self._buffer, self._position = self._wrapped.recv(_READ_AHEAD), 0
        return self._buffer, self._position

    def skip_to(self, position: int) -> None:
        """Hand out what lies before `position` of what `ahead` showed."""
        self._position = position

    def pending(self) -> int:
        """Bytes that can be had without asking the network."""
        below = getattr(self._wrapped, "pending", None)  # TLS keeps decrypted bytes of its own
        return len(self._buffer) - self._position + (below() if below else 0)

    def fileno(self) -> int:
        """The file descriptor, for select."""
        return self._wrapped.fileno()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)
