"""Which version of an observation stands does not depend on chance."""

from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pulso.db.corrections import Settled, Verdict, Version, settle

NOON = datetime(2026, 11, 22, 18, tzinfo=UTC)


def version(result: float, produced: int | None = None) -> Version:
    return Version(result, 2, NOON, None if produced is None else NOON + timedelta(seconds=produced))


def arrive(versions: list[Version]) -> Settled:
    first, *others = versions
    return settle(first, [], others)


results = st.integers(0, 5).map(float)
untold = st.lists(results.map(version), min_size=1, max_size=8)
produced_once_each = st.lists(
    st.tuples(results, st.integers(0, 100)), min_size=1, max_size=8, unique_by=lambda v: v[1]
).map(lambda pairs: [version(result, produced) for result, produced in pairs])


@given(produced_once_each, st.randoms())
def test_with_result_times_any_order_of_arrival_ends_in_the_same_version(
    versions: list[Version], random: Random
) -> None:
    assert arrive(random.sample(versions, len(versions))).stands == arrive(versions).stands
    assert arrive(versions).stands == max(versions, key=lambda each: each.age_order)


@given(untold)
def test_redelivery_of_everything_changes_nothing(versions: list[Version]) -> None:
    """What a broker does after a crash: the same messages once more, in the same order."""
    once = arrive(versions)
    again = settle(once.stands, once.replaced, versions)

    assert again.stands == once.stands
    assert again.replaced == []
    assert set(again.verdicts) == {Verdict.DUPLICATE}


@given(untold)
def test_every_version_is_kept_once(versions: list[Version]) -> None:
    settled = arrive(versions)

    kept = [settled.stands.result, *(each.result for each in settled.replaced)]
    assert sorted(kept) == sorted({each.result for each in versions})


def test_without_result_times_the_later_arrival_takes_the_place() -> None:
    settled = arrive([version(1.0), version(2.0)])

    assert settled.stands.result == 2.0
    assert settled.verdicts == [Verdict.CORRECTED]


def test_a_result_produced_earlier_does_not_replace_a_later_one() -> None:
    settled = settle(version(2.0, produced=10), [], [version(1.0, produced=5)])

    assert settled.stands.result == 2.0
    assert settled.replaced == [version(1.0, produced=5)]
    assert settled.verdicts == [Verdict.SUPERSEDED]
