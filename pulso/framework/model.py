"""The entries of the indicator framework: frozen values, checked one by one when they are read."""

import re
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pulso.city.definition import LocalText
from pulso.model import Family


def _said_in_both(text: LocalText) -> LocalText:
    if not text.en.strip() or not text.es.strip():
        raise ValueError("both 'en' and 'es' have to say something")
    return text


Text = Annotated[LocalText, AfterValidator(_said_in_both)]
Words = Annotated[str, Field(pattern=r"\S")]
Code = Annotated[str, Field(pattern=r"^(EC|EN|SC): [A-Z]+: [A-Z]+: [1-9][AC]$")]
AreaCode = Annotated[str, Field(pattern=r"^PA[1-7]$")]
SdgTarget = Annotated[str, Field(pattern=r"^([1-9]|1[0-7])\.([1-9][0-9]?|[a-z])$")]
SdgIndicator = Annotated[str, Field(pattern=r"^([1-9]|1[0-7])\.([1-9][0-9]?|[a-z])\.[1-9]$")]
IndicatorId = Annotated[str, Field(pattern=r"^[TWEA][1-9][0-9]?$")]


class Entry(BaseModel):
    """One table of the data files: unknown keys are faults, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Level(StrEnum):
    """Core KPIs are for every city, advanced ones for cities that are further; the letter at the end of the code."""

    CORE = "core"
    ADVANCED = "advanced"


class KpiType(StrEnum):
    """What the standard says a KPI is about."""

    SMART = "smart"
    STRUCTURAL = "structural"
    SUSTAINABLE = "sustainable"


class Sense(StrEnum):
    """Which way is better; `mixed` differs between the parts of a KPI, for `context` neither way is."""

    UP = "up"
    DOWN = "down"
    TARGET = "target"
    MIXED = "mixed"
    CONTEXT = "context"


class FeedMode(StrEnum):
    """How a KPI gets its values. Our own assignment, not part of the standard."""

    LIVE_DIRECT = "live_direct"
    LIVE_PROXY = "live_proxy"
    REGISTRY = "registry"
    REPORTED = "reported"
    SURVEY = "survey"


class Relation(StrEnum):
    """What a live source is to a KPI, or to the operations centre where there is no KPI."""

    DIRECT = "direct"
    PROXY = "proxy"
    REGISTRY = "registry"
    OPERATIONS = "operations"
    QUALITY = "quality"


class Mark(StrEnum):
    """How far a part of a KPI can be trusted: read on an ITU page, its definition only, or recalled."""

    VERIFIED = "verified"
    DEFINITION_ONLY = "verified-definition-only"
    RECALLED = "recalled"


class Status(StrEnum):
    """How far the standard of a live indicator can be trusted; `unmarked` where our source gives no mark."""

    VERIFIED = "verified"
    VERIFIED_SECONDARY = "verified_secondary"
    RECALLED = "recalled"
    OWN_DESIGN = "own_design"
    UNMARKED = "unmarked"


class CategoryKey(NamedTuple):
    """What tells categories apart: four names stand in more than one sub-dimension, so a name alone does not."""

    sub_dimension: str
    code: str


class Dimension(Entry):
    """One of the three dimensions of the standard."""

    code: Annotated[str, Field(pattern=r"^(EC|EN|SC)$")]
    name: Text


class SubDimension(Entry):
    """One of the seven sub-dimensions; its code begins with that of its dimension."""

    code: Annotated[str, Field(pattern=r"^(EC|EN|SC): [A-Z]+$")]
    name: Text

    @property
    def dimension(self) -> str:
        """The code of its dimension."""
        return self.code.partition(": ")[0]


class Category(Entry):
    """One of the 27 pairs of sub-dimension and category."""

    sub_dimension: str
    code: Annotated[str, Field(pattern=r"^[A-Z]+$")]
    name: Text

    @property
    def key(self) -> CategoryKey:
        """Sub-dimension and code."""
        return CategoryKey(self.sub_dimension, self.code)


class Theme(Entry):
    """One ISO 37122 theme. `printed_*` is what the source paper prints; `dimension` is our repair of its column."""

    name: Text
    partition: bool = False
    printed_kpis: int | None = Field(None, ge=1)
    printed_dimension: str | None = None
    dimension: str | None = None
    note: Text | None = None


class Objective(Entry):
    """One of the three strategic objectives of the source paper."""

    code: Words
    name: Text


class PriorityArea(Entry):
    """One of the seven priority areas. `printed_kpis` is the paper's count, `counted_kpis` our sum over the themes."""

    code: AreaCode
    section: Words
    name: Text
    iso37122_themes: tuple[Words, ...] = Field(min_length=1)
    printed_kpis: int
    counted_kpis: int
    objective: Words
    secondary_objective: Words | None = None
    families: tuple[Family, ...] = Field(min_length=1)
    enablers: tuple[Words, ...] = ()
    providers: tuple[Words, ...] = ()
    utilizers: tuple[Words, ...] = ()
    users: tuple[Words, ...] = ()
    note: Text | None = None


class Source(Entry):
    """Where facts come from; `address` has a place for the page of the online edition."""

    id: Words
    title: Text
    address: str | None = Field(None, pattern=r"^https://\S*\{page\}\S*$")


class Confidence(Entry):
    """The marks of a KPI. `overall` is verified only if an ITU page with type, unit and formula was read."""

    overall: Mark
    code_name: Mark
    type: Mark
    formula: Mark
    sdg: Mark


class Kpi(Entry):
    """One of the 91 KPIs of ITU-T Y.4903 / U4SSC (list of 2016/2017).

    `name.es`, `unit.es` and `formula.es` are our translations. `printed_as` is the spelling of the 2017 text where it
    is irregular. `iso37122_themes` begins with the broad theme; they and `priority_areas` are our inference.
    """

    code: Code
    printed_as: str | None = None
    name: Text
    category: Annotated[str, Field(pattern=r"^[A-Z]+$")]
    level: Level
    type: KpiType
    unit: Text
    formula: Text
    direction: Sense
    direction_note: Text | None = None
    target: float | None = None
    sdg: tuple[SdgTarget, ...] = Field(min_length=1)
    sdg_indicators: tuple[SdgIndicator, ...] = ()
    iso37122_themes: tuple[Words, ...] = Field(min_length=1)
    priority_areas: tuple[AreaCode, ...] = ()
    feed: FeedMode
    confidence: Confidence
    sources: tuple[Words, ...] = Field(min_length=1)
    note: Text | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Kpi":
        if (self.level is Level.CORE) != self.code.endswith("C"):
            raise ValueError(f"{self.code} is {self.level}, its last letter says otherwise")
        if self.printed_as is not None and normal_code(self.printed_as) != self.code:
            raise ValueError(f"{self.printed_as} is not another spelling of {self.code}")
        if (self.direction is Sense.MIXED) != (self.direction_note is not None):
            raise ValueError("'direction_note' goes with direction 'mixed', and with no other")
        if (self.direction is Sense.TARGET) != (self.target is not None):
            raise ValueError("'target' goes with direction 'target', and with no other")
        return self

    @property
    def dimension(self) -> str:
        """The code of its dimension."""
        return self.code.partition(": ")[0]

    @property
    def sub_dimension(self) -> str:
        """The code of its sub-dimension, the first two parts of its own."""
        return ": ".join(self.code.split(": ")[:2])

    @property
    def category_key(self) -> CategoryKey:
        """The pair that names its category. Not always what its code says: SC: EH: ED: 5A belongs to Health."""
        return CategoryKey(self.sub_dimension, self.category)


class LiveIndicator(Entry):
    """One indicator that sensors of a family give; `standard` says for each part what `status` lists."""

    id: IndicatorId
    family: Family
    name: Text
    formula: Text
    unit: Text
    window: Text
    direction: Sense
    target: str | None = None
    standard: Words
    status: tuple[Status, ...] = Field(min_length=1)


class Feed(Entry):
    """What live indicators, or something else that is kept (`from`), give to a KPI or to operations."""

    indicators: tuple[IndicatorId, ...] = ()
    origin: Text | None = Field(None, alias="from")
    kpi: Code | None = None
    relation: Relation
    condition: Text | None = None
    priority_areas: tuple[AreaCode, ...] = ()
    objective: Words | None = None
    sdg: tuple[SdgTarget, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> "Feed":
        if not self.indicators and self.origin is None:
            raise ValueError("a feed has 'indicators', or 'from', or both")
        if (self.kpi is None) != (self.relation in {Relation.OPERATIONS, Relation.QUALITY}):
            raise ValueError(f"relation {self.relation.value!r} {'needs' if self.kpi is None else 'has no'} 'kpi'")
        return self


def normal_code(text: str) -> str:
    """A KPI code spelt in one way: `SC: EH: ED:1C` and `sc:eh:ed:1c` are `SC: EH: ED: 1C`."""
    return ": ".join(re.split(r"\s*:\s*", text.strip().upper()))
