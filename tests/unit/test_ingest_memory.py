"""What decoders remember is bounded, can be stored, and follows the transactions that store it."""

from collections.abc import Awaitable, Callable, Mapping

import pytest

from ingest.memory import Memory


def answering(
    known: Mapping[str, object], meanwhile: Callable[[], None] = lambda: None
) -> Callable[..., Awaitable[Mapping[str, object]]]:
    """What the database says, read before `meanwhile` happens."""

    async def load() -> Mapping[str, object]:
        read = dict(known)
        meanwhile()
        return read

    return load


def test_only_news_are_to_be_kept() -> None:
    memory = Memory({"a": 1})
    memory.learn({"a": 1, "b": {"unit": "W"}})
    assert memory.unsaved == {"b": {"unit": "W"}}
    memory.commit(memory.unsaved)
    memory.learn({"b": {"unit": "W"}})
    assert memory.unsaved == {}
    assert dict(memory) == {"a": 1, "b": {"unit": "W"}}


def test_none_forgets() -> None:
    memory = Memory({"a": 1})
    memory.learn({"a": None, "b": None})
    assert memory.unsaved == {"a": None}
    assert dict(memory) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("large", "x" * 300_000),
        ("nul", {"unit": "\x00"}),
        ("n\x00l", 1),
        ("surrogate", "\ud800"),
        ("object", object()),
        ("bytes", b"1"),
        ("nan", [float("nan")]),
        ("k" * 1001, 1),
    ],
)
def test_what_cannot_be_kept_is_not_learned(key: str, value: object) -> None:
    memory = Memory()
    memory.learn({key: value, "other": 1})
    assert memory.unsaved == {"other": 1}
    assert dict(memory) == {"other": 1}


def test_the_number_of_keys_is_bounded() -> None:
    memory = Memory({str(number): 1 for number in range(50_000)})
    memory.learn({"new": 1, "7": 2})
    assert memory.unsaved == {"7": 2}
    assert len(memory) == 50_000


def test_the_bytes_of_all_values_are_bounded_and_room_that_is_freed_can_be_used() -> None:
    memory = Memory()
    for number in range(300):
        memory.learn({str(number): "x" * 250_000})
    held = len(memory)
    assert 250 < held < 300
    memory.learn({"0": "y" * 250_000})
    assert memory["0"] == "y" * 250_000, "what takes the place of another needs no more room"
    memory.learn({"0": None, "late": "x" * 250_000})
    assert len(memory) == held
    assert "late" in memory


def test_what_was_learned_is_taken_back_until_it_is_committed() -> None:
    memory = Memory({"a": 1, "b": 2})
    memory.learn({"a": 5})
    memory.commit(memory.unsaved)
    memory.learn({"a": 6})
    memory.learn({"a": 7, "b": None, "c": 3})
    assert dict(memory) == {"a": 7, "c": 3}
    memory.roll_back()
    assert dict(memory) == {"a": 5, "b": 2}
    assert memory.unsaved == {}


def test_what_is_learned_behind_what_is_being_saved_stays_unsaved() -> None:
    memory = Memory({"a": 1})
    first = memory.learn({"a": 2, "b": 1, "c": 1})
    second = memory.learn({"a": 3, "b": 1})
    assert second == {"a": 3, "b": 1}, "the first one may yet fail, so its value is told again"
    memory.commit(first)
    assert memory.unsaved == {"a": 3}
    memory.roll_back()
    assert dict(memory) == {"a": 2, "b": 1, "c": 1}
    memory.commit(second)
    assert memory.unsaved == {}


async def test_what_others_forgot_is_forgotten_and_what_they_learned_is_learned() -> None:
    memory = Memory({"a": 1, "gone": 2})
    await memory.reload(answering({"a": 9, "new": 3}))
    assert dict(memory) == {"a": 9, "new": 3}


async def test_what_is_learned_or_saved_while_others_are_asked_stays() -> None:
    memory = Memory({"a": 1})
    memory.learn({"before": 1})

    def meanwhile() -> None:
        memory.commit(memory.unsaved)
        memory.learn({"a": None, "while": 2})

    await memory.reload(answering({"a": 1}, meanwhile))
    assert dict(memory) == {"before": 1, "while": 2}
    memory.roll_back()
    assert dict(memory) == {"a": 1, "before": 1}


def test_a_message_that_is_read_again_adds_and_replaces_nothing() -> None:
    memory = Memory({"birth": {"1": "speed", "2": "power"}, "unit": "W"})
    memory.learn({"birth": {"1": "power"}, "unit": "kW", "other": 1}, anew=True)
    assert dict(memory) == {"birth": {"1": "speed", "2": "power"}, "unit": "W", "other": 1}
    memory.learn({"birth": {"1": "speed", "2": "power", "3": ["x"]}}, anew=True)
    assert memory.unsaved == {"birth": {"1": "speed", "2": "power", "3": ["x"]}, "other": 1}
