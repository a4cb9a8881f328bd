"""The errors of Pulso: one tree, whose docstrings are the default messages.

AppError
 +- ConfigurationError    a setting or a city pack is wrong; nothing was started
 +- DecodeError           one message cannot be understood; it is kept and acknowledged
 +- UnknownZone / UnknownThing / UnknownDatastream / UnknownKpi
 +- StorageError          the database did not do what was asked; try again with a back-off
 |   +- NotStorable       it refuses these very data; trying again would not help
 +- PublishError          the broker did not take a message
"""

from collections.abc import Sequence
from enum import StrEnum


class AppError(Exception):
    """Something went wrong in Pulso."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class ConfigurationError(AppError):
    """The configuration is not usable."""

    def __init__(self, message: str | None = None, *, faults: Sequence[str] = ()) -> None:
        self.faults = tuple(faults)
        listed = "".join(f"\n  - {fault}" for fault in self.faults)
        super().__init__((message or (self.__doc__ or "").strip()) + listed)


class RejectReason(StrEnum):
    """Why a message was rejected: stored beside its bytes, logged, and a metric label."""

    EMPTY = "empty"
    MALFORMED = "malformed"
    WRONG_SHAPE = "wrong_shape"
    UNKNOWN_TOPIC = "unknown_topic"
    UNKNOWN_PROPERTY = "unknown_property"
    UNKNOWN_ZONE = "unknown_zone"
    UNKNOWN_THING = "unknown_thing"
    UNKNOWN_UNIT = "unknown_unit"
    UNIT_MISMATCH = "unit_mismatch"
    FAMILY_MISMATCH = "family_mismatch"
    TOO_MANY_PROPERTIES = "too_many_properties"
    IMPOSSIBLE_RESULT = "impossible_result"
    FUTURE_TIMESTAMP = "future_timestamp"
    IMPOSSIBLE_TIMESTAMP = "impossible_timestamp"
    TOO_LARGE = "too_large"
    DECODER_FAILED = "decoder_failed"
    NOT_STORABLE = "not_storable"
    UNDECODED = "undecoded"
    UNMAPPED = "unmapped"
    NO_BIRTH = "no_birth"


class DecodeError(AppError):
    """The message cannot be understood."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class UnknownZone(AppError):
    """No such zone."""


class UnknownThing(AppError):
    """No such thing."""


class UnknownDatastream(AppError):
    """No such datastream."""


class UnknownKpi(AppError):
    """No such KPI."""


class StorageError(AppError):
    """The database did not do what was asked of it."""


class NotStorable(StorageError):
    """The database refuses these data, and would refuse them again."""


class PublishError(AppError):
    """The broker did not take the message."""
