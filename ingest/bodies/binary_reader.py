"""Bytes read one after another, for the formats whose items say how long they are."""

from pulso.errors import DecodeError, RejectReason


class BinaryReader:
    """A position in bytes, and a count of the items found in them. Every fault is a DecodeError (malformed)."""

    __slots__ = ("_deepest", "_most_items", "_name", "_payload", "items", "position")

    def __init__(self, payload: bytes, name: str, deepest: int, most_items: int) -> None:
        self._payload = payload
        self._name = name
        self._deepest = deepest
        self._most_items = most_items
        self.position = 0
        self.items = 0

    def item(self, depth: int) -> int:
        """Begin an item at a depth and return its first byte."""
        self.items += 1
        if self.items > self._most_items:
            raise self.fault(f"more than {self._most_items} values")
        if depth > self._deepest:
            raise self.fault(f"nested deeper than {self._deepest} levels")
        return self.number(1)

    def number(self, size: int) -> int:
        """The next `size` bytes as an unsigned number, the most significant first."""
        return int.from_bytes(self.skip(size), "big")

    def skip(self, size: int) -> bytes:
        """The next `size` bytes."""
        end = self.position + size
        if end > len(self._payload):
            raise self.fault("it ends within a value")
        taken = self._payload[self.position : end]
        self.position = end
        return taken

    def ends_with(self, sign: int) -> bool:
        """Whether the next byte is `sign`, which then is taken."""
        found = self._payload[self.position : self.position + 1] == bytes([sign])
        self.position += found
        return found

    def finish(self) -> None:
        """Make sure that nothing is left."""
        if self.position != len(self._payload):
            raise self.fault(f"{len(self._payload) - self.position} bytes follow the first value")

    def fault(self, detail: str) -> DecodeError:
        """The error that these bytes are not of the format."""
        return DecodeError(RejectReason.MALFORMED, f"not {self._name}: {detail}")
