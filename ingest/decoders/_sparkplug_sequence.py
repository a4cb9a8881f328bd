"""Sequence numbers of Sparkplug edge nodes, and when to ask a node for its births."""

from collections import OrderedDict
from dataclasses import dataclass

_MOST_NODES = 20_000
_FIRST_PATIENCE = 60_000_000  # microseconds
_LONGEST_PATIENCE = 86_400_000_000
_CALM = 1_000  # messages in order, after which a node has made up for its gaps


@dataclass(slots=True)
class _Node:
    seq: int | None = None
    in_order: int = 0
    asked_at: int | None = None
    patience: int = _FIRST_PATIENCE


class Sequences:
    """What this process saw of each node, newest nodes last; forgotten by a restart, which costs one rebirth at most.

    Each gap or missing birth asks for a rebirth, but not again before `patience` is over, which doubles each time, to a
    day. So workers that share a subscription, and each see gaps where another worker got the message, do not make a
    node repeat itself for ever.
    """

    def __init__(self) -> None:
        self._nodes: OrderedDict[str, _Node] = OrderedDict()

    def begin(self, node: str, seq: int | None) -> None:
        """The node was born: counting starts anew."""
        self._node(node).seq = seq

    def follows(self, node: str, seq: int | None) -> bool:
        """Whether a message of a node is the next one, or the same again. The first that is seen follows anything."""
        known = self._node(node)
        if seq is None:
            return True
        expected = known.seq
        known.seq = seq
        if expected is None or seq in (expected, (expected + 1) % 256):
            known.in_order += 1
            if known.in_order >= _CALM:
                known.patience = _FIRST_PATIENCE
            return True
        known.in_order = 0
        return False

    def may_ask(self, node: str, at: int) -> bool:
        """Whether a rebirth may be asked for now, `at` in microseconds; if so, that is noted."""
        known = self._node(node)
        if known.asked_at is not None and 0 <= at - known.asked_at < known.patience:
            return False
        if known.asked_at is not None:
            known.patience = min(2 * known.patience, _LONGEST_PATIENCE)
        known.asked_at = at
        return True

    def _node(self, node: str) -> _Node:
        known = self._nodes.pop(node, None) or _Node()
        self._nodes[node] = known
        if len(self._nodes) > _MOST_NODES:
            self._nodes.popitem(last=False)
        return known
