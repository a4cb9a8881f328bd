"""The file simulator.toml of a city pack: how many things, how often they report, how districts differ."""

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pulso.city.pack import CityPack
from pulso.errors import ConfigurationError
from pulso.model import Family

Model = TypeVar("Model", bound=BaseModel)
Factor = Annotated[float, Field(gt=0, le=5)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FamilyPlan(_Strict):
    """One family: things per district, time between two messages of one thing, and how they are called."""

    per_district: int = Field(ge=0, le=10_000)
    interval: Annotated[timedelta, Field(ge=timedelta(seconds=1), le=timedelta(days=1))]
    prefix: str = Field(pattern=r"^[a-z]{2,8}$")
    name: str = Field(min_length=1)


class DistrictPlan(_Strict):
    """How one district differs from the city as a whole, by family; 1 is the city."""

    traffic: Factor = 1.0
    waste: Factor = 1.0
    energy: Factor = 1.0
    air: Factor = 1.0


class CityPlan(_Strict):
    """All of simulator.toml."""

    traffic: FamilyPlan
    waste: FamilyPlan
    energy: FamilyPlan
    air: FamilyPlan
    district: dict[str, DistrictPlan] = Field(default_factory=dict)

    def family(self, family: Family) -> FamilyPlan:
        """The table of one family."""
        plan: FamilyPlan = getattr(self, family.value)
        return plan

    def factor(self, zone_id: str, family: Family) -> float:
        """The factor of one district; 1 for a district without a table."""
        factor: float = getattr(self.district.get(zone_id, DistrictPlan()), family.value)
        return factor


def load_plan(pack: CityPack) -> CityPlan:
    """Read the plan of a city pack. Raises ConfigurationError naming every fault."""
    file = pack.path / "simulator.toml"
    plan = read_toml(file, CityPlan)
    unknown = sorted(plan.district.keys() - {zone.zone_id for zone in pack.districts})
    if unknown:
        raise ConfigurationError(f"{file.name}: no such district in the pack: {', '.join(unknown)}")
    return plan


def read_toml(file: Path, model: type[Model]) -> Model:
    """Read and check a TOML file. Raises ConfigurationError naming every fault with its place."""
    try:
        document: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        return model.model_validate(document)
    except ValidationError as error:
        faults = [f"{_place(fault['loc'])}: {fault['msg']}" for fault in error.errors(include_url=False)]
        raise ConfigurationError(f"{file} is not usable:", faults=faults) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)
