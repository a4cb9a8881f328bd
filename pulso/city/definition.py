"""A KPI as data: one TOML table, validated here, computed by a registered formula of the engine."""

import hashlib
import json
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_serializer, model_validator

from pulso.model import BandState, Family, KpiId

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)]


class _Table(BaseModel):
    """A TOML table: unknown keys are faults, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LocalText(_Table):
    """A text in the two languages of the product."""

    es: str
    en: str

    def get(self, language: str) -> str:
        """The text in `language`; Spanish where that is not `en`."""
        return self.en if language == "en" else self.es


class Direction(StrEnum):
    """Which way is better."""

    UP = "up"
    DOWN = "down"
    TARGET = "target"
    CONTEXT = "context"


class Grain(StrEnum):
    """What a value is computed for."""

    ZONE = "zone"
    CITY = "city"


class KpiInput(_Table):
    """One input: the datastreams of `property`, in `unit` (UCUM; the property's default unit if not given).

    What a formula takes of their panes (sum, last, increase ...) is the formula's own affair.
    """

    property: str
    unit: str | None = None


class Band(_Table):
    """One interval of the value's axis. Ends say themselves whether they are inclusive.

    `above` and `below` exclude their end, `at_least` and `at_most` include it; an end not given is open.
    """

    state: BandState
    label: LocalText
    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one_of_each_end(self) -> "Band":
        if self.above is not None and self.at_least is not None:
            raise ValueError("a band has either 'above' or 'at_least'")
        if self.below is not None and self.at_most is not None:
            raise ValueError("a band has either 'below' or 'at_most'")
        return self

    def contains(self, value: float) -> bool:
        """Whether `value` lies in this band."""
        return (
            (self.above is None or value > self.above)
            and (self.at_least is None or value >= self.at_least)
            and (self.below is None or value < self.below)
            and (self.at_most is None or value <= self.at_most)
        )


class WindowShape(_Table):
    """Windows of `length`, one every `step`, aligned to the city's local clock."""

    length: timedelta
    step: timedelta

    @model_validator(mode="after")
    def _possible(self) -> "WindowShape":
        minute, hour = timedelta(minutes=1), timedelta(hours=1)
        if not self.length >= self.step >= minute:
            raise ValueError(f"window step {self.step} has to lie between one minute and the length {self.length}")
        if hour % self.step:
            raise ValueError(f"window step {self.step} has to divide the hour, or windows leave the local clock")
        if self.length % self.step or self.step % minute:
            raise ValueError(
                f"window length {self.length} has to be a multiple of step {self.step}, both in whole minutes"
            )
        return self


class KpiDefinition(_Table):
    """One indicator: what it is called, what it is made of, when it counts and what its values mean."""

    id: Annotated[KpiId, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)]
    title: LocalText
    short_title: LocalText | None = None
    family: Family
    unit: str
    decimals: int = Field(0, ge=0, le=6)
    formula: Identifier
    parameters: dict[str, float | str] = Field(default_factory=dict)
    inputs: dict[Identifier, KpiInput] = Field(min_length=1)
    window: WindowShape
    grain: tuple[Grain, ...] = (Grain.ZONE, Grain.CITY)
    direction: Direction
    bands: tuple[Band, ...] = ()
    band_table: str | None = None
    target: float | None = None
    minimum_coverage: float = Field(0.75, ge=0, le=1)
    allowed_lateness: timedelta = timedelta(minutes=2)
    priority_areas: tuple[str, ...] = ()
    itu: str | None = None
    itu_relation: str | None = None
    iso37122_theme: str | None = None
    sdg: tuple[str, ...] = ()
    strategic_objective: str | None = None
    indicator: str | None = None
    owner: str | None = None
    source: str

    @field_serializer("allowed_lateness")
    def _lateness_in_seconds(self, value: timedelta) -> float:
        return value.total_seconds()

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of the document: any change is another version."""
        document = json.dumps(self.document(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(document.encode()).hexdigest()[:12]

    def document(self) -> dict[str, object]:
        """The definition as JSON-compatible data, defaults left out."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def band_of(self, value: float) -> Band | None:
        """The first band that contains `value`; None where the definition has none for it."""
        return next((band for band in self.bands if band.contains(value)), None)
