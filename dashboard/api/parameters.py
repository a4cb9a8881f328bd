"""What the routes take: intervals, limits, cursors."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request
from pydantic import AwareDatetime, BeforeValidator

from dashboard.problems import BadRequest
from dashboard.services import Services

LONGEST_RANGE = timedelta(days=366)
MOST_ROWS = 10_000
LARGEST_ID = 2**31 - 1  # of an integer key
LARGEST_BIG_ID = 2**63 - 1  # of a bigint key
NO_NUL = r"^[^\x00]*$"  # the one character PostgreSQL's text cannot hold

Row = TypeVar("Row")


def services_of(request: Request) -> Services:
    """The services of the application that serves this request."""
    services = request.app.state.services
    assert isinstance(services, Services)  # noqa: S101 (set by build_app)
    return services


@dataclass(frozen=True, slots=True)
class Interval:
    """[start, end); an end that is None is open."""

    start: datetime | None
    end: datetime | None


_LOST_PLUS = re.compile(r"(?<=\d) (?=\d\d:?\d\d$)")


def _iso(text: str) -> str:
    """A moment as it was meant: in a query an unescaped + is a blank. A bare number is refused, not guessed."""
    if re.fullmatch(r"[-+.\d]+", text) and "-" not in text[1:]:
        raise ValueError("a datetime in ISO 8601 is needed, not a number")
    return _LOST_PLUS.sub("+", text)


Moment = Annotated[AwareDatetime, BeforeValidator(_iso)]


def interval(
    start: Annotated[
        Moment | None,
        Query(description="Inclusive; ISO 8601 with an offset or Z.", examples=["2026-11-22T18:00:00Z"]),
    ] = None,
    end: Annotated[
        Moment | None,
        Query(description="Exclusive; after `start`, at most 366 days later.", examples=["2026-11-22T19:00:00Z"]),
    ] = None,
) -> Interval:
    """Check a range. Raises BadRequest that says what is wrong with it."""
    if start and end and end <= start:
        raise BadRequest("end", f"{end.isoformat()} is not after start {start.isoformat()}")
    if start and end and end - start > LONGEST_RANGE:
        raise BadRequest("end", f"the range spans {(end - start).days} days; at most {LONGEST_RANGE.days} are answered")
    return Interval(start, end)


ServicesDep = Annotated[Services, Depends(services_of)]
IntervalDep = Annotated[Interval, Depends(interval)]


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page, of how many items at most."""

    limit: int
    cursor: str | None


def paging(
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="Most items of one page.")] = 1_000,
    cursor: Annotated[str | None, Query(description="The `next` of the page before.", max_length=800)] = None,
) -> Paging:
    """The page that is asked for; the first, if no cursor is given."""
    return Paging(limit, cursor)


PagingDep = Annotated[Paging, Depends(paging)]


def encode_cursor(position: str) -> str:
    """An opaque cursor for the position of the last item of a page."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The position within a cursor. Raises BadRequest."""
    try:
        position = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError as error:  # of base64 as of UTF-8
        raise BadRequest("cursor", "is not one that a page gave") from error
    if "\x00" in position:
        raise BadRequest("cursor", "is not one that a page gave")
    return position


def decode_number(cursor: str, largest: int = LARGEST_ID) -> int:
    """The number within a cursor. Raises BadRequest."""
    position = decode_cursor(cursor)
    if not position.isdecimal() or len(position) > len(str(largest)) or int(position) > largest:
        raise BadRequest("cursor", "is not one that a page gave")
    return int(position)


def encode_place(moment: datetime, name: str) -> str:
    """An opaque cursor for a list in order of time, and of names within one moment."""
    return encode_cursor(f"{moment.isoformat()}\n{name}")


def decode_place(cursor: str) -> tuple[datetime, str]:
    """The moment and the name within a cursor. Raises BadRequest."""
    moment, _, name = decode_cursor(cursor).partition("\n")
    return decode_time(encode_cursor(moment)), name


def decode_time(cursor: str) -> datetime:
    """The moment within a cursor. Raises BadRequest."""
    try:
        moment = datetime.fromisoformat(decode_cursor(cursor))
    except ValueError as error:
        raise BadRequest("cursor", "is not one that a page gave") from error
    if moment.tzinfo is None:
        raise BadRequest("cursor", "is not one that a page gave")
    return moment


def continued(interval: Interval, cursor: str | None) -> Interval:
    """What is left of a newest-first interval after the page that gave `cursor`."""
    if cursor is None:
        return interval
    before = decode_time(cursor)
    return Interval(interval.start, min(before, interval.end) if interval.end else before)


def cut(rows: Sequence[Row], limit: int) -> tuple[list[Row], Row | None]:
    """The page of `limit` rows, and its last row if `rows` (asked for with one more) go on after it."""
    page = list(rows[:limit])
    return page, page[-1] if len(rows) > limit else None
