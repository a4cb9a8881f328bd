"""Entities as NGSI v2 and NGSI-LD write them, normalised, concise, simplified or as GeoJSON, brought to one form.

Formats: FIWARE-NGSI v2 (telefonicaid.github.io/fiware-orion), "JSON Attribute Representation" and "Notification
Messages"; ETSI GS CIM 009 (NGSI-LD), clauses 4.5, 5.2 and 7.2 (notifications over MQTT).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, TypeGuard

from ingest.limits import LONGEST_ID
from pulso.errors import DecodeError, RejectReason

MOST_ENTITIES = 2_000
MOST_ATTRIBUTES = 5_000  # of all entities of a message

_LONGEST_NAME = 512  # characters of an expanded type

_NGSI_LD_KINDS = frozenset(
    {
        "Property",
        "GeoProperty",
        "Relationship",
        "LanguageProperty",
        "VocabProperty",
        "JsonProperty",
        "ListProperty",
        "ListRelationship",
    }
)
_NO_VALUES = frozenset({"Relationship", "LanguageProperty", "VocabProperty", "ListProperty", "ListRelationship"})
_RESERVED = frozenset({"id", "type", "@id", "@type", "@context", "scope", "createdAt", "modifiedAt", "deletedAt"})
_METADATA_TIMES = ("observedAt", "TimeInstant", "timestamp", "dateObserved")
_UNIT_KEYS = ("unitCode", "UnitCode", "unit")
_MULTIPLE_INSTANCES = ("value", "values", "object", "languageMap")


class Attribute(NamedTuple):
    """One value of an attribute. `at` is when it was observed, as it is written; `dataset` tells instances apart."""

    name: str
    value: object
    unit: str | None = None
    at: object = None
    dataset: str | None = None

    @property
    def key(self) -> str:
        """The name without case and signs: how models and publishers differ."""
        return folded(self.name)


class Entity(NamedTuple):
    """An entity with the values of its attributes. `types` in their short form."""

    entity_id: str
    types: tuple[str, ...]
    attributes: tuple[Attribute, ...]

    def value(self, *names: str) -> object:
        """The value of the first attribute of `names` that has one; None if there is none."""
        for name in names:
            for attribute in self.attributes:
                if attribute.key == folded(name) and attribute.value is not None:
                    return attribute.value
        return None


def folded(name: str) -> str:
    """Letters and digits of a name, in lower case.

    >>> folded("PM2.5"), folded("pm_25")
    ('pm25', 'pm25')
    """
    return "".join(letter for letter in name.lower() if letter.isalnum())


def short_name(name: str) -> str:
    """The last part of an expanded name.

    >>> short_name("https://smartdatamodels.org/dataModel.Environment/AirQualityObserved"), short_name("ngsi-ld:co2")
    ('AirQualityObserved', 'co2')
    """
    return re.split(r"[#/:]", name.rstrip("#/:"))[-1]


def raw_entities(body: object) -> list[Mapping[str, object]] | None:
    """The entities of a message body, as they are written; None if it is neither entity, list of them nor notification.

    Raises DecodeError (too_many_properties) for more than a sane publisher sends.
    """
    found = _listed(unwrapped(body))
    if not found or not all(is_entity(each) for each in found[: MOST_ENTITIES + 1]):
        return None
    if len(found) > MOST_ENTITIES or sum(map(len, found)) > MOST_ATTRIBUTES:
        detail = f"more than {MOST_ENTITIES} entities, or {MOST_ATTRIBUTES} attributes"
        raise DecodeError(RejectReason.TOO_MANY_PROPERTIES, detail)
    return found


def unwrapped(body: object) -> object:
    """The body of an MQTT message as NGSI-LD sends notifications, `{"metadata": …, "body": …}`; any other as it is."""
    if isinstance(body, Mapping) and body.keys() == {"metadata", "body"} and isinstance(body["metadata"], Mapping):
        return body["body"]
    return body


def is_notification(body: object) -> TypeGuard[Mapping[str, object]]:
    """Whether a body is a notification of a subscription."""
    return (
        isinstance(body, Mapping)
        and isinstance(body.get("data"), list)
        and ("subscriptionId" in body or body.get("type") == "Notification")
    )


def is_entity(value: object) -> bool:
    """Whether a value can be an entity: an id of a length that we keep, and a type, are all that is asked for."""
    if not isinstance(value, Mapping):
        return False
    told = value.get("id", value.get("@id"))
    return isinstance(told, str) and 0 < len(told) <= LONGEST_ID and bool(_types(value))


def is_normalised(value: object) -> bool:
    """Whether a value is an attribute with its type, as only NGSI writes it."""
    if not isinstance(value, Mapping):
        return False
    if _kind(value) in _NGSI_LD_KINDS:
        return True
    return "value" in value and isinstance(value.get("type"), str) and value.keys() <= {"type", "value", "metadata"}


def entity(raw: Mapping[str, object]) -> Entity:
    """One entity, for which `is_entity` holds, in one form. Raises DecodeError (too_many_properties)."""
    raw = _unfolded(raw)
    told = (
        attribute
        for name, value in raw.items()
        if name not in _RESERVED
        for attribute in instances(short_name(name) or name, value)
    )
    attributes = tuple(islice(told, MOST_ATTRIBUTES + 1))
    if len(attributes) > MOST_ATTRIBUTES:
        detail = f"more than {MOST_ATTRIBUTES} values of one entity"
        raise DecodeError(RejectReason.TOO_MANY_PROPERTIES, detail)
    return Entity(str(raw.get("id", raw.get("@id"))), _types(raw), attributes)


def _listed(body: object) -> list[Mapping[str, object]]:
    if isinstance(body, list):
        return body
    if not isinstance(body, Mapping):
        return []
    if is_notification(body):
        return list(_only_tables(body["data"]))
    if "id" not in body and isinstance(body.get("entities"), list):  # a batch operation of NGSI v2
        return list(_only_tables(body["entities"]))
    if body.get("type") == "FeatureCollection":
        return list(_only_tables(body.get("features")))
    return [body]


def _only_tables(value: object) -> Iterator[Mapping[str, object]]:
    for each in value if isinstance(value, list) else ():
        yield each if isinstance(each, Mapping) else {}


def _types(raw: Mapping[str, object]) -> tuple[str, ...]:
    told = raw.get("type", raw.get("@type"))
    if told == "Feature" and isinstance(properties := raw.get("properties"), Mapping):
        told = properties.get("type")
    listed = told if isinstance(told, list) else [told]
    return tuple(short_name(each) for each in listed if isinstance(each, str) and 0 < len(each) <= _LONGEST_NAME)


def _unfolded(raw: Mapping[str, object]) -> Mapping[str, object]:
    """A GeoJSON feature as the entity it stands for."""
    properties = raw.get("properties")
    if raw.get("type") != "Feature" or not isinstance(properties, Mapping):
        return raw
    return {"location": raw.get("geometry"), **properties, "id": raw.get("id", raw.get("@id"))}


def instances(name: str, value: object) -> Iterator[Attribute]:
    """The values of one attribute: several where it has data sets or a history."""
    if isinstance(value, list) and value and all(_is_instance(each) for each in value):
        for each in value:
            yield from instances(name, each)
    elif not isinstance(value, Mapping) or not _is_instance(value):
        yield Attribute(name, value)
    elif _kind(value) in _NO_VALUES:
        yield Attribute(name, value.get("object"))
    else:
        yield from _told(name, value)


def _is_instance(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    return _kind(value) in _NGSI_LD_KINDS or any(key in value for key in _MULTIPLE_INSTANCES)


def _kind(value: Mapping[str, object]) -> str | None:
    told = value.get("type")
    return told if isinstance(told, str) else None


def _told(name: str, value: Mapping[str, object]) -> Iterator[Attribute]:
    metadata = value.get("metadata")
    notes = metadata if isinstance(metadata, Mapping) else value
    unit = _plain(next((told[key] for told in (notes, value) for key in _UNIT_KEYS if key in told), None))
    at = next((told for key in _METADATA_TIMES if (told := _plain(notes.get(key))) is not None), None)
    dataset = value.get("datasetId")
    told_unit = unit if isinstance(unit, str) and unit else None
    told_dataset = dataset if isinstance(dataset, str) and dataset not in ("", "@none") else None
    history = value.get("values")
    if "value" not in value and isinstance(history, Sequence) and not isinstance(history, str):
        for pair in history:
            if isinstance(pair, list) and len(pair) == 2:
                yield Attribute(name, pair[0], told_unit, pair[1], told_dataset)
        return
    yield Attribute(name, _plain(value.get("value")), told_unit, at, told_dataset)


def _plain(value: object) -> object:
    """A value without the table that JSON-LD or metadata may wrap it in."""
    if isinstance(value, Mapping):
        if "@value" in value:
            return value["@value"]
        if "value" in value and value.keys() <= {"type", "value"}:
            return value["value"]
    return value
