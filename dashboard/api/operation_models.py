"""What the operations routes take and answer."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from dashboard.api.models import Page
from dashboard.api.parameters import LARGEST_BIG_ID, Moment
from pulso.db.ledger import Balance, Total
from pulso.db.rejected import QuarantinedDevice, RejectedRow, RejectedState, Selection, SummaryRow
from pulso.errors import RejectReason
from pulso.model import Family
from pulso.rejection import advice

MOST_IDS = 10_000
MOST_MAPPING = 256 * 1024  # characters

Text = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BooksOut(_Answer):
    """What became of messages. `difference` is 0 where the books balance."""

    received: int
    stored: int
    duplicate: int = Field(description="Changed nothing: it was stored before.")
    rejected: int = Field(description="Kept with its bytes, see /operations/rejected.")
    ignored: int = Field(description="Understood, with nothing measured in it.")
    returned: int = Field(description="Was in flight when its worker died; the broker delivers it again.")
    in_flight: int = Field(description="In the hands of a worker.")
    difference: int = Field(description="received - all the others; anything but 0 is a fault.")


class BalanceOut(BooksOut):
    """The books of one source and period."""

    start: datetime = Field(description="Of the period.")
    source: str

    @classmethod
    def of(cls, row: Balance) -> "BalanceOut":
        """Shape a line."""
        return cls(**{"start" if name == "period" else name: value for name, value in row._asdict().items()})


class BalancePage(Page[BalanceOut]):
    """Lines, the newest period first, and the whole range in one."""

    since: datetime
    until: datetime
    balanced: bool = Field(description="Whether the whole range balances.")
    total: BooksOut

    @classmethod
    def of(
        cls, rows: Sequence[Balance], following: str | None, since: datetime, until: datetime, total: Total
    ) -> "BalancePage":
        """Shape a page."""
        return cls(
            items=[BalanceOut.of(row) for row in rows],
            next=following,
            since=since,
            until=until,
            balanced=total.difference == 0,
            total=BooksOut(**total._asdict()),
        )


class RejectedOut(_Answer):
    """One message that was not understood; its bytes are at `/operations/rejected/{id}/payload`."""

    id: int
    received_at: datetime
    topic: str
    source: str | None
    device: str | None = Field(description="Where the message told it.")
    reason: str = Field(examples=["unmapped"])
    detail: str
    decoder: str | None = Field(description="Name and version.", examples=["ttn_v3@1"])
    content_type: str | None
    retained: bool
    state: RejectedState
    replayed_at: datetime | None
    replays: int = Field(description="How often a replay was tried.")
    size: int = Field(description="Bytes of payload.")

    @classmethod
    def of(cls, row: RejectedRow) -> "RejectedOut":
        """Shape a message."""
        return cls(
            id=row.rejected_id,
            received_at=row.received_at,
            topic=row.topic,
            source=row.source,
            device=row.external_id,
            reason=row.reason,
            detail=row.detail,
            decoder=row.decoder,
            content_type=row.content_type,
            retained=row.retained,
            state=RejectedState(row.state),
            replayed_at=row.replayed_at,
            replays=row.replays,
            size=row.size,
        )


class RejectedDetail(RejectedOut):
    """One message with its reason in words."""

    meaning: str = Field(description="What the reason means.")
    remedy: str = Field(description="What to do about it.")

    @classmethod
    def of(cls, row: RejectedRow) -> "RejectedDetail":
        """Shape a message."""
        words = advice(row.reason)
        return cls(**RejectedOut.of(row).model_dump(), meaning=words.meaning, remedy=words.remedy)


class SummaryOut(_Answer):
    """How many messages there are of one kind."""

    reason: str
    source: str | None
    decoder: str | None
    state: RejectedState
    messages: int
    first_seen: datetime
    last_seen: datetime

    @classmethod
    def of(cls, row: SummaryRow) -> "SummaryOut":
        """Shape a count."""
        return cls.model_validate(row._asdict())


class QuarantinedOut(_Answer):
    """A device nobody understands."""

    device: str = Field(description="Its id; where messages tell none, the pattern of their topics.")
    known_id: bool = Field(description="Whether `device` is an id that the messages tell.")
    topic: str = Field(description="Of its newest message.")
    source: str | None
    decoder: str | None = Field(description="That looked at its newest message.")
    messages: int
    first_seen: datetime
    last_seen: datetime
    reasons: Mapping[str, int]
    latest: Sequence[int] = Field(description="Ids of its last five messages, the newest first.")
    family: Family | None
    state: str | None = Field(description="Of the thing, if there is one: active, quarantined, retired.")

    @classmethod
    def of(cls, row: QuarantinedDevice) -> "QuarantinedOut":
        """Shape a device."""
        told = {name: value for name, value in row._asdict().items() if name != "external_id"}
        return cls.model_validate({**told, "known_id": row.external_id is not None})


class SelectionIn(_Request):
    """Which messages are meant: by id, or by what they have in common. What is left out does not matter."""

    ids: list[Annotated[int, Field(ge=1, le=LARGEST_BIG_ID)]] | None = Field(None, max_length=MOST_IDS)
    reason: RejectReason | None = None
    source: Text | None = None
    device: Text | None = None
    topic_prefix: Text | None = None
    decoder: Text | None = None
    state: RejectedState | None = Field(None, description="kept, if left out; discarded takes them back.")
    since: Moment | None = None
    until: Moment | None = None
    everything: bool = Field(False, description="Needed to mean every kept message.")
    dry_run: bool = Field(False, description="Only count.")

    @model_validator(mode="after")
    def _says_what(self) -> "SelectionIn":
        if self.selection.is_everything and not self.everything:
            raise ValueError("say which messages, or everything: true")
        return self

    @property
    def selection(self) -> Selection:
        """As the repository takes it."""
        return Selection(**self.model_dump(exclude={"everything", "dry_run"}))


class MovedOut(_Answer):
    """How many messages were (or would be) taken."""

    messages: int
    dry_run: bool


class AdoptIn(_Request):
    """How a device is to be understood, and what it is."""

    mapping: str | None = Field(None, max_length=MOST_MAPPING, description="TOML of the mapping language.")
    proposed: bool = Field(False, description="Take the mapping that Pulso proposes for its kept messages.")
    profile: Text | None = Field(None, description="Name of a device profile.")
    family: Family | None = None
    zone: Text | None = None
    name: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f]*$")] | None = None
    expected_interval: float | None = Field(None, ge=0.1, le=31_536_000, description="Seconds.")
    dry_run: bool = Field(False, description="Only say what its kept messages would be.")


class AdoptedOut(_Answer):
    """What an adoption came to, or would."""

    device: str
    dry_run: bool
    document: str | None = Field(description="Name under which the mapping is kept.")
    mapping: str | None = Field(description="Its text.")
    things: list[dict[str, Any]] = Field(description="Ids the messages name, each with its family.")
    understood: int = Field(description="How many of the messages below are understood.")
    messages: list[dict[str, Any]] = Field(description="What the last kept messages would be, as in /decode.")
    queued: int = Field(description="Messages that wait for their replay now.")


class DecodeIn(_Request):
    """A message to try."""

    topic: str = Field(min_length=1, max_length=65_535, examples=["pulso/v1/traffic/det-7"])
    payload: str | None = Field(None, description="As text.", examples=['{"observations": {"speed": 31.4}}'])
    payload_base64: str | None = Field(None, description="As bytes, in base64.")
    mapping: str | None = Field(
        None, max_length=MOST_MAPPING, description="TOML of the mapping language to try; from this machine only."
    )
    received_at: Moment | None = Field(None, description="Now, if left out.")
    timezone: str | None = Field(None, max_length=64, examples=["America/Mexico_City"])
    content_type: Text | None = None

    @model_validator(mode="after")
    def _one_payload(self) -> "DecodeIn":
        if (self.payload is None) == (self.payload_base64 is None):
            raise ValueError("give the payload either as `payload` or as `payload_base64`")
        return self


class DecodedOut(_Answer):
    """What a message would be."""

    outcome: str = Field(description="ingest, ignore, metadata, undecoded or quarantine.")
    decoder: str | None
    reason: str | None
    things: list[dict[str, Any]] = Field(default_factory=list)
    observations: list[dict[str, Any]]
    notes: list[str] = Field(
        default_factory=list,
        description="What the mapping that is tried leaves open: what it looks for and does not find.",
    )
