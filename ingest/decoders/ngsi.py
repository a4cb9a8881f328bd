"""Entities and notifications of NGSI v2 and NGSI-LD, on any topic, read by the Smart Data Models where they are of one.

`ingest.formats.ngsi_entity` brings the notations to one form, `ingest.formats.smart_data_models` says what the
attributes measure.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo

from ingest.decoders import NotMine, decoder
from ingest.formats.moments import in_micros, iso_datetime, iso_moment
from ingest.formats.ngsi_entity import (
    Attribute,
    Entity,
    entity,
    is_normalised,
    is_notification,
    raw_entities,
    unwrapped,
)
from ingest.formats.positions import geojson_point, position
from ingest.formats.readings import REFUSED_UNITS, as_suffix, is_no_reading
from ingest.formats.smart_data_models import (
    ABOUT_SOMEONE,
    AT_THIS_INSTANT,
    COMMON_WORDS,
    FRACTION,
    MEASURES_ONE_PROPERTY,
    MODELS,
    Model,
    Quantity,
    counted,
)
from ingest.measured import as_number, measured
from ingest.message import Context, Decoded, DecodedObservation, Incoming, Reported, ignored, metadata
from ingest.vocabulary import meaning
from pulso.errors import DecodeError
from pulso.model import Family
from pulso.units import canonical_units

_SAMPLE_TIMES = (
    "dateObservedTo",
    "dateObserved",
    "observationDateTime",
    "observedAt",
    "TimeInstant",
    "timestamp",
    "dateValueReported",
    "dateLastValueReported",
    "binLoggedTime",
    "occupancyModified",
    "dateObservedFrom",
)
"""Where an entity tells when it was sampled, the first that is there counts. Other dates are those of the record, of an
installation or of a counter's start."""

_STABLE_REFERENCES = ("refDevice", "refPointOfInterest", "stationCode", "stationId")
_SAMPLE_TIME_IN_ID = re.compile(
    r"[-_:.]*\d{4}-\d\d-\d\d[T_ ]?\d\d[:.-]?\d\d(?:[:.-]?\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|[-_:.]*\d{8}T\d{4,6}Z?"
)
_PHASE = re.compile(r"[lL](\d{0,2})|[nN]")
_LARGEST_FRACTION = 1.2
"""A share above it is none: 1.02 may come of a humidity sensor in fog, 54 can only be a percentage."""
_OF_A_FLOW = frozenset({"vehicle_count", "speed", "occupancy", "travel_time"})
_SAID_OF_DEVICES = frozenset({"controlledProperty", "controlledAsset", "refDevice", "refDeviceModel", "deviceCategory"})
"""Attributes that only the Smart Data Models have by these names."""

_NULLS = frozenset({"urn:ngsi-ld:null"})
_FORECAST = "Forecast"
_SHAPES = ("Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon")
_UNKNOWN = -1
"""The models' word for a share, a count or a speed that is not known."""


def looks_like(message: Incoming) -> bool:
    """Whether a payload is a notification, or entities with a mark that only NGSI has."""
    head = message.payload[:64].lstrip()[:1]
    if head not in (b"{", b"[") or (b'"type"' not in message.payload and b'"@type"' not in message.payload):
        return False
    body = message.body
    entities = raw_entities(body)
    return entities is not None and (is_notification(unwrapped(body)) or any(_is_marked(raw) for raw in entities[:20]))


def _is_marked(raw: Mapping[str, object]) -> bool:
    told = str(raw.get("id", raw.get("@id")))
    if told.startswith("urn:ngsi") or "@context" in raw:
        return True
    types = entity(raw).types if raw.get("type") == "Feature" else (str(raw.get("type", "")),)
    if any(each in MODELS.keys() | ABOUT_SOMEONE and each not in COMMON_WORDS for each in types):
        return True
    if any(each.endswith(_FORECAST) for each in types) or not _SAID_OF_DEVICES.isdisjoint(raw):
        return True
    return any(is_normalised(value) for value in raw.values()) or _has_place(raw.get("location"))


def _has_place(location: object) -> bool:
    """Whether it is GeoJSON under the name that simplified entities have it by."""
    return isinstance(location, Mapping) and "coordinates" in location and location.get("type") in _SHAPES


@decoder("ngsi", looks_like=looks_like)
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode one entity, a list of them, a batch or a notification.

    A thing is an entity, or what it refers to where its id holds the time of the sample. What an entity of no known
    model measures follows from the names of its attributes or from a device profile.
    """
    found = raw_entities(message.body)
    if found is None:
        raise NotMine
    entities = [entity(raw) for raw in found]
    observed = [each for each in entities if not _left_out(each)]
    if not observed:
        return ignored("entities of single vehicles, of people or of forecasts: nothing of them is kept")
    lanes = Counter(each.entity_id for each in observed)
    things: list[Reported] = []
    learned: dict[str, object] = {}
    refused: DecodeError | None = None
    for each in observed:
        try:
            things += _things(each, context, learned, several_lanes=lanes[each.entity_id] > 1)
        except DecodeError as error:
            if error.reason not in REFUSED_UNITS:
                raise
            refused = error
    if any(thing.observations or thing.fields for thing in things):
        return Decoded(things, learned=learned)
    if refused is not None:
        raise refused
    return metadata("no attribute of it is a measurement", *things)


def _left_out(each: Entity) -> bool:
    return any(name in ABOUT_SOMEONE or name.endswith(_FORECAST) for name in each.types)


def _things(each: Entity, context: Context, learned: dict[str, object], *, several_lanes: bool) -> Iterator[Reported]:
    model_name = next((name for name in each.types if name in MODELS), None)
    zone = _zone(each, context.timezone)
    at = _sampled(each, zone)
    where = _position(each)
    thing_id = external_id(each)
    if model_name is None:
        yield from _unknown_model(each, thing_id, at, where, zone)
        return
    model = MODELS[model_name]
    lane = as_suffix(str(each.value("laneId") or "")) if several_lanes else ""
    key = f"ngsi:{thing_id}"
    reader = _Reader(model, each, at, zone, f"_lane{lane}" if lane else "", context.memory.get(key))
    observations = reader.observations()
    if reader.refused is not None and not observations:
        raise reader.refused
    if reader.percentages:
        learned[key] = sorted(reader.percentages)
    fields = _controlled(each) if model_name in MEASURES_ONE_PROPERTY else None
    if fields is not None:
        told = iso_moment(_controlled_value(each).at, zone)
        at = at if told is None else told
    yield Reported(thing_id, model.family, observations, fields, at, each.types, position=where)


class _Reader:
    """Reads the attributes of one entity by its model.

    Models want shares as fractions of 1; some publishers send percentages all the same. The first share above 1 tells
    that, and is kept in `percentages`, so that a later 1 is not taken for 100 %. A value in a unit that is unknown or
    impossible is left out; `refused` says why.
    """

    def __init__(self, model: Model, each: Entity, at: int | None, zone: tzinfo, lane: str, known: object) -> None:  # noqa: PLR0913, PLR0917 (what an entity is read with)
        self._model = model
        self._entity = each
        self._at = at
        self._zone = zone
        self._lane = lane
        self._count = counted(str(each.value("vehicleType", "itemType") or ""))
        self.refused: DecodeError | None = None
        self.percentages = {name for name in known if isinstance(name, str)} if isinstance(known, list) else set()

    def observations(self) -> list[DecodedObservation]:
        """What was measured; the first of two values of one property and moment counts."""
        found: dict[tuple[str, int | None], DecodedObservation] = {}
        for attribute in self._entity.attributes:
            for observation in self._read(attribute):
                found.setdefault((observation.observed_property, observation.phenomenon_time), observation)
        return list(found.values())

    def _read(self, attribute: Attribute) -> Iterator[DecodedObservation]:
        quantity = self._model.quantities.get(attribute.key)
        at = iso_moment(attribute.at, self._zone)
        at = self._at if at is None else at
        if quantity is None and not self._model.is_elsewhere:
            quantity = _stated(attribute)
        if quantity is None or (name := self._named(quantity)) is None:
            return
        if attribute.unit is None and quantity.unit is None:
            return
        name += self._lane
        if attribute.dataset is not None and (suffix := as_suffix(attribute.dataset.rpartition(":")[2])):
            name += f"_{suffix}"
        for suffix, value in _parts(attribute.value):
            observation = self._observation(name + suffix, value, attribute.unit, quantity, at)
            if observation is not None:
                yield observation

    def _observation(
        self, name: str, value: object, stated: str | None, quantity: Quantity, at: int | None
    ) -> DecodedObservation | None:
        if is_no_reading(value) or isinstance(value, list | Mapping) or value in _NULLS:
            return None
        if quantity.words is not None:
            number = quantity.words.get(value.lower()) if isinstance(value, str) else None
            return None if number is None else DecodedObservation(name, number, None, at)
        if stated is None and quantity.unit == FRACTION and canonical_units(name) == ("%",):
            return self._share(name, value, at)
        if self._model.family is Family.TRAFFIC and as_number(value) == _UNKNOWN:
            return None
        try:
            return measured(name, value, stated or quantity.unit, at=at)
        except DecodeError as error:
            if error.reason not in REFUSED_UNITS:
                raise
            self.refused = error
            return None

    def _share(self, name: str, value: object, at: int | None) -> DecodedObservation | None:
        number = as_number(value)
        if number == _UNKNOWN:
            return None
        if number is not None and number > _LARGEST_FRACTION:
            self.percentages.add(name)
        return measured(name, value, "%" if name in self.percentages else FRACTION, at=at)

    def _named(self, quantity: Quantity) -> str | None:
        """The property of a quantity; of a flow it depends on what flows: a boat is no traffic, nor a walker's pace."""
        if self._model.family is not Family.TRAFFIC or quantity.observed_property not in _OF_A_FLOW:
            return quantity.observed_property
        if quantity.observed_property == "vehicle_count":
            return self._count
        flows = self._count is not None and self._count.startswith("vehicle_count")
        return quantity.observed_property if flows else None


def _stated(attribute: Attribute) -> Quantity | None:
    """What an attribute beyond the model measures, if it states its unit and its name leaves no doubt."""
    if attribute.unit is None:
        return None
    known = meaning(attribute.name, attribute.unit)
    return Quantity(known.observed_property, attribute.unit) if known is not None and known.certain else None


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """A value with the suffix it has: those of the phases of a structured value, else none.

    Of a `TimeSeriesAggregation` only the value of the instant is read, not those of its period.
    """
    if not isinstance(value, Mapping):
        yield "", value
        return
    if AT_THIS_INSTANT in value:
        yield "", value[AT_THIS_INSTANT]
        return
    for key, part in value.items():
        if _PHASE.fullmatch(key):
            yield ("" if key in "lL" else f"_{key.lower()}"), part


def _controlled(each: Entity) -> dict[str, object] | None:
    """The one property that a generic model names, with its value and unit, for the vocabulary to read."""
    name = each.value("controlledProperty")
    if isinstance(name, list) and len(name) == 1:
        name = name[0]
    told = _controlled_value(each)
    value = as_number(told.value)
    if not isinstance(name, str) or value is None:
        return None
    unit = each.value("unit", "unitCode") or told.unit
    return {name: {"value": value, "unit": unit} if isinstance(unit, str) and unit else value}


def _controlled_value(each: Entity) -> Attribute:
    told = (attribute for key in ("numvalue", "value") for attribute in each.attributes if attribute.key == key)
    return next((attribute for attribute in told if attribute.value is not None), Attribute("value", None))


def _unknown_model(
    each: Entity, thing_id: str, at: int | None, where: tuple[float, float] | None, zone: tzinfo
) -> Iterator[Reported]:
    """An entity of no known model: its numbers as fields, those of one moment together."""
    by_time: dict[int | None, dict[str, object]] = {}
    for attribute in each.attributes:
        number = None if isinstance(attribute.value, bool) else as_number(attribute.value)
        if number is None:
            continue
        told = iso_moment(attribute.at, zone)
        suffix = f"_{as_suffix(attribute.dataset.rpartition(':')[2])}" if attribute.dataset else ""
        fields = by_time.setdefault(at if told is None else told, {})
        fields.setdefault(
            attribute.name + suffix, {"value": number, "unit": attribute.unit} if attribute.unit else number
        )
    if not by_time:
        yield Reported(thing_id, model=each.types, position=where)
    for time, fields in by_time.items():
        yield Reported(thing_id, fields=fields, phenomenon_time=time, model=each.types, position=where)


def external_id(each: Entity) -> str:
    """The id of the thing: the entity's, unless that is one for each sample.

    Then it is what the entity refers to, or the id without the time.
    """
    without_time = _SAMPLE_TIME_IN_ID.sub("", each.entity_id)
    if without_time == each.entity_id:
        return each.entity_id
    for name in _STABLE_REFERENCES:
        told = each.value(name)
        if isinstance(told, list) and len(told) == 1:
            told = told[0]
        if isinstance(told, str) and told.strip():
            return told
    return without_time or each.entity_id


def _sample_times(each: Entity) -> Iterator[str]:
    for name in _SAMPLE_TIMES:
        told = each.value(name)
        if isinstance(told, str) and len(told) < 200:
            yield told


def _zone(each: Entity, site: tzinfo) -> tzinfo:
    """The clock of times without a zone: that of a sibling which has one, else the site's."""
    for told in _sample_times(each):
        for part in told.split("/"):
            moment = iso_datetime(part)
            if moment is not None and moment.tzinfo is not None:
                return moment.tzinfo
    return site


def _sampled(each: Entity, zone: tzinfo) -> int | None:
    moments = (_end(told) for told in _sample_times(each))
    return next((in_micros(moment, zone) for moment in moments if moment is not None), None)


def _end(told: str) -> datetime | None:
    return iso_datetime(told.rpartition("/")[2])


def _position(each: Entity) -> tuple[float, float] | None:
    told = each.value("location")
    if isinstance(told, str) and told.count(",") == 1:  # geo:point of NGSI v2: latitude first
        latitude, _, longitude = told.partition(",")
        return position(latitude, longitude)
    return geojson_point(told)
