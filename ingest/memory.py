"""What earlier messages told (aliases, units, discovery), in the hands of one worker."""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping

import structlog

log = structlog.get_logger()

_MOST_KEYS = 50_000
_LONGEST_KEY = 1000  # characters; values are found by key in the database, and an index takes no much longer ones
_LARGEST = 256 << 10  # bytes of one value as JSON
_MOST_BYTES = 64 << 20


class Memory(Mapping[str, object]):
    """JSON values by key, bounded: what anybody may publish must not fill our memory. A value of None forgets.

    What is learned is seen at once, and is unsaved until `commit` says that it is in the database; `roll_back` takes
    it back, as when the messages that told it are going to be read again.
    """

    def __init__(self, known: Mapping[str, object] | None = None) -> None:
        self._values: dict[str, object] = {}
        self._sizes: dict[str, int] = {}
        self._bytes = 0
        self._unsaved: dict[str, object] = {}
        self._before: dict[str, object] = {}  # what stood under the keys of `_unsaved`; None if nothing did
        self._saved_meanwhile: dict[str, object] = {}  # since `reload` began to read
        for key, value in (known or {}).items():
            self._set(key, value)

    @property
    def unsaved(self) -> Mapping[str, object]:
        """What has to be kept for other workers and for later, as it is now."""
        return dict(self._unsaved)

    def learn(self, told: Mapping[str, object], *, anew: bool = False) -> dict[str, object]:
        """Remember what was told; returns what has to be saved. What cannot be kept is left out, with a warning.

        `anew`: by a message that is read again later, so what others told since is not replaced, only added to.
        """
        learned: dict[str, object] = {}
        for key, value in told.items():
            known = self._values.get(key)
            if known == value:
                if key in self._unsaved:
                    learned[key] = value  # by a message that may fail, and by this one now
                continue
            if anew and known is not None and not _adds_to(known, value):
                continue
            why = None if value is None else self._refusal(key, value)
            if why is not None:
                log.warning("not_remembered", key=key[:200], why=why)
                continue
            self._before.setdefault(key, known)
            self._unsaved[key] = learned[key] = value
            self._set(key, value)
        return learned

    def commit(self, learned: Mapping[str, object]) -> None:
        """What `learn` returned is in the database; what was learned since, also of the same keys, is not."""
        self._saved_meanwhile |= learned
        for key, value in learned.items():
            if key not in self._unsaved:
                continue
            if self._unsaved[key] == value:
                del self._unsaved[key], self._before[key]
            else:
                self._before[key] = value

    def roll_back(self) -> None:
        """Forget what is unsaved."""
        for key, value in self._before.items():
            self._set(key, value)
        self._unsaved, self._before = {}, {}

    async def reload(self, load: Callable[[], Awaitable[Mapping[str, object]]]) -> None:
        """Take over what all workers know. What was learned here, or saved while it was read, is newer and stays."""
        self._saved_meanwhile = {}
        told = {**await load(), **self._saved_meanwhile}
        self._before = {key: told.get(key) for key in self._before}
        told |= self._unsaved
        for key in self._values.keys() | told.keys():
            if self._values.get(key) != told.get(key):
                self._set(key, told.get(key))

    def _set(self, key: str, value: object) -> None:
        self._bytes -= self._sizes.pop(key, 0)
        self._values.pop(key, None)
        if value is not None:
            self._values[key] = value
            self._sizes[key] = len(key) + len(_json(value))
            self._bytes += self._sizes[key]

    def _refusal(self, key: str, value: object) -> str | None:
        """Why a value cannot be kept; None if it can."""
        try:
            encoded = _json([key, value])
        except (TypeError, ValueError, RecursionError) as error:
            return f"no JSON: {error}"
        if len(key) > _LONGEST_KEY or len(encoded) > _LARGEST:
            return "too large"
        if b"\\u0000" in encoded:
            return "a NUL, which the database cannot hold"
        is_one_too_many = key not in self._values and len(self._values) >= _MOST_KEYS
        if is_one_too_many or self._bytes - self._sizes.get(key, 0) + len(encoded) > _MOST_BYTES:
            return "too many things to remember"
        return None

    def __getitem__(self, key: str) -> object:
        return self._values[key]

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _json(value: object) -> bytes:
    """As the database gets it. Raises TypeError, ValueError or RecursionError for what is no JSON."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def _adds_to(known: object, value: object) -> bool:
    return isinstance(known, dict) and isinstance(value, dict) and known.items() <= value.items()
