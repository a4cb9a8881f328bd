"""The thresholds by which a city's observations are judged: `assessment.toml` of its pack.

One table [[rule]] per observed property and unit. `docs/reference/assessment.md` describes each test and its source.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pulso.errors import ConfigurationError
from pulso.units import canonical_units, stem_of

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000)]
Interval = tuple[float, float]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rate(_Strict):
    """A change from one observation to the next of more than `per_minute` times the minutes between, plus `slack`."""

    per_minute: Annotated[float, Field(ge=0)]
    slack: Annotated[float, Field(ge=0)] = 0.0
    longest_gap: Seconds = 3600.0


class Spike(_Strict):
    """A distance of more than `height` from the median of the three observations before."""

    height: Positive
    longest_gap: Seconds = 3600.0


class Stuck(_Strict):
    """The same value at least `times` times over at least `seconds`; values up to `except_below` may stay."""

    times: Annotated[int, Field(ge=2, le=1_000_000)]
    seconds: Seconds
    except_below: float | None = None


class Neighbours(_Strict):
    """A distance from the median of the neighbours of more than `deviations` of their MAD and more than `floor`."""

    deviations: Positive
    floor: Positive
    within: Seconds = 900.0


class Rule(_Strict):
    """The tests of one observed property in one unit; a test that is not given is not made.

    `possible`: outside, the value cannot be (FAIL). `plausible`: outside, it is suspect. `source` says where the
    numbers come from.
    """

    observed_property: str
    unit: str = ""
    possible: Interval | None = None
    plausible: Interval | None = None
    rate: Rate | None = None
    spike: Spike | None = None
    stuck: Stuck | None = None
    neighbours: Neighbours | None = None
    source: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> "Rule":
        units = canonical_units(self.observed_property)
        if self.unit and units is not None and self.unit not in units:
            raise ValueError(f"unit {self.unit!r} is none of {self.observed_property}: {', '.join(units)}")
        if units is None and not self.unit:
            raise ValueError(f"{self.observed_property!r} is outside the vocabulary: its rule needs a unit")
        for name, interval in (("possible", self.possible), ("plausible", self.plausible)):
            if interval is not None and not interval[0] < interval[1]:
                raise ValueError(f"{name}: {list(interval)} is no interval from low to high")
        return self

    @property
    def key(self) -> tuple[str, str]:
        """Property and unit."""
        return self.observed_property, self.unit or (canonical_units(self.observed_property) or ("",))[0]

    @property
    def looks_back(self) -> bool:
        """Whether a test needs the observations before."""
        return not (self.rate is None and self.spike is None and self.stuck is None and self.neighbours is None)


class Registers(_Strict):
    """Cumulative registers: the greatest power of a meter in kW, where its thing does not tell `max_power_kw`."""

    max_power_kw: Positive = 1000.0


class Clock(_Strict):
    """A phenomenon time further than `ahead` seconds after the receipt is suspect."""

    ahead: Seconds = 60.0


class AssessmentTable(_Strict):
    """All rules of a city."""

    rule: tuple[Rule, ...] = ()
    registers: Registers = Registers()
    clock: Clock = Clock()

    @model_validator(mode="after")
    def _once(self) -> "AssessmentTable":
        keys = [rule.key for rule in self.rule]
        for key in sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"there are two rules for {key[0]} in {key[1]}")
        return self

    def rule_for(self, observed_property: str, unit: str) -> Rule | None:
        """The rule of a property, with or without suffixes, in a unit; the one of the longest name counts."""
        for name in _names(observed_property):
            for rule in self.rule:
                if rule.key == (name, unit):
                    return rule
        return None


def _names(observed_property: str) -> Iterator[str]:
    """The property with ever less suffixes, down to its stem."""
    stem = stem_of(observed_property) or observed_property
    name = observed_property
    while len(name) > len(stem):
        yield name
        name = name.rpartition("_")[0]
    yield stem


def load_assessment(pack: Path) -> AssessmentTable:
    """The rules of the pack in directory `pack`; none without the file. Raises ConfigurationError naming each fault."""
    file = pack / "assessment.toml"
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        return AssessmentTable.model_validate(document)
    except FileNotFoundError:
        return AssessmentTable()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults = [f"{file.name}: {error}"]
    except ValidationError as error:
        faults = [
            f"{file.name}: {'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_url=False)
        ]
    raise ConfigurationError(f"the city pack {pack.name!r} is not usable:", faults=faults)
