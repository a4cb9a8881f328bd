"""The books balance for any course of events, and show a message that gets lost."""

from hypothesis import given
from hypothesis import strategies as st

from ingest.books import MINUTE, Books, Settled
from ingest.message import RawMessage

OUTCOMES = st.sampled_from(Settled)


def message(topic: str, minute: int = 0) -> RawMessage:
    return RawMessage(topic, b"", minute * MINUTE + 7)


def books() -> Books:
    return Books(lambda topic: topic.split("/")[0])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), OUTCOMES), max_size=40), st.data())
def test_every_message_is_somewhere(course: list[tuple[str, int, Settled]], data: st.DataObject) -> None:
    """Messages arrive, some are taken, some of those settled: each page balances at every moment."""
    kept = books()
    arrived = [message(source, minute) for source, minute, _ in course]
    for each in arrived:
        kept.arrive(each)
    taken = data.draw(st.integers(0, len(course)))
    kept.take(arrived[:taken])
    settled = data.draw(st.integers(0, taken))
    kept.settle(arrived[:settled], {place: outcome for place, (_, _, outcome) in enumerate(course[:settled])})

    pages = kept.pages()
    assert all(page.difference == 0 for page in pages)
    keys = {(each.topic, each.received_at // MINUTE) for each in arrived[:taken]}
    assert {(page.source, page.minute) for page in pages} == keys
    for page in pages:
        here = [place for place, each in enumerate(arrived) if (each.topic, each.received_at // MINUTE) == page[:2]]
        assert page.received == len(here)
        assert page.in_flight == sum(place >= settled for place in here)


def test_a_message_that_gets_lost_on_the_way_leaves_a_difference() -> None:
    kept = books()
    batch = [message("a/1"), message("a/2"), message("a/3")]
    for each in batch:
        kept.arrive(each)
    kept.take(batch)
    kept.settle(batch, {0: Settled.STORED, 2: Settled.IGNORED})
    (page,) = kept.pages()
    assert (page.received, page.stored, page.ignored, page.in_flight, page.difference) == (3, 1, 1, 0, 1)


def test_what_was_not_committed_is_taken_back() -> None:
    kept = books()
    batch = [message("a/1"), message("a/2")]
    for each in batch:
        kept.arrive(each)
    kept.take(batch)
    outcomes = {0: Settled.STORED, 1: Settled.REJECTED}
    kept.settle(batch, outcomes)
    kept.settle(batch, outcomes, by=-1)
    (page,) = kept.pages()
    assert (page.stored, page.rejected, page.in_flight, page.difference) == (0, 0, 2, 0)


def test_pages_that_are_written_are_not_written_again() -> None:
    kept = books()
    for minute in (0, 1):
        batch = [message("a/1", minute)]
        kept.arrive(batch[0])
        kept.take(batch)
        kept.settle(batch, {0: Settled.STORED})
        assert [page.minute for page in kept.pages()] == [minute]
        kept.written()
    assert kept.pages() == []


def test_a_flood_of_sources_is_counted_as_other() -> None:
    kept = books()
    batch = [message(f"s{number}/x") for number in range(700)]
    for each in batch:
        kept.arrive(each)
    kept.take(batch)
    pages = kept.pages()
    assert len(pages) == 501
    assert sum(page.received for page in pages) == 700
    assert max(page.received for page in pages if page.source == "other") == 200
