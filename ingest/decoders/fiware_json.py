"""FIWARE IoT Agent for JSON over MQTT: an object of attributes, or a list of them.

Format: https://fiware-iotagent-json.readthedocs.io (user manual, "MQTT binding").
"""

from collections.abc import Mapping

from ingest.decoders import NotMine, decoder
from ingest.decoders._fiware import Address, address, filters, not_measured
from ingest.formats.moments import iso_moment
from ingest.formats.ngsi_entity import instances, is_entity, is_normalised
from ingest.measured import as_number
from ingest.message import Context, Decoded, Incoming, Reported, ignored
from pulso.errors import DecodeError, RejectReason

_MOST_GROUPS = 1000
_MOST_ATTRIBUTES = 1000


@decoder("fiware_json", topics=filters("json"))
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode the attributes of one device, or the plain value of one attribute.

    Numbers may be text. Null, lists and nested objects are no readings. Raises NotMine on the topics of old agents,
    `/<key>/<device>/attrs`, for a payload that is no JSON object.
    """
    where = address(message.levels, "json")
    if (other := not_measured(where)) is not None:
        return other
    if where.attribute is not None:
        return _single(message, where, where.attribute)
    groups = _groups(message, where.named)
    things = [thing for group in groups if (thing := _reported(where.device, group, context)) is not None]
    return Decoded(things) if things else ignored("no attribute has a value", where.device)


def _groups(message: Incoming, named: bool) -> list[Mapping[str, object]]:
    try:
        body = message.body
    except DecodeError:
        if named:
            raise
        raise NotMine from None
    listed = body if isinstance(body, list) else [body]
    groups = [group for group in listed if isinstance(group, Mapping)]
    if any(_is_ngsi(group) for group in groups):
        raise NotMine  # the agent passes entities of NGSI on as they are
    if not groups or len(groups) < len(listed):
        if named:
            raise DecodeError(RejectReason.WRONG_SHAPE, "not an object of attributes, nor a list of them")
        raise NotMine
    if len(groups) > _MOST_GROUPS or sum(map(len, groups)) > _MOST_ATTRIBUTES:
        detail = f"more than {_MOST_GROUPS} groups of measures, or {_MOST_ATTRIBUTES} attributes"
        raise DecodeError(RejectReason.TOO_MANY_PROPERTIES, detail)
    return groups


def _is_ngsi(group: Mapping[str, object]) -> bool:
    """Whether this is an entity, or a batch of them, and no object of attributes."""
    if "entities" in group and "actionType" in group:
        return True
    return is_entity(group) and ("@context" in group or any(is_normalised(value) for value in group.values()))


def _single(message: Incoming, where: Address, attribute: str) -> Decoded:
    if not where.named:
        raise NotMine
    try:
        value = message.body
    except DecodeError as error:
        if error.reason is RejectReason.EMPTY:
            raise
        value = message.text
    read = _value(value)
    if read is None:
        return ignored(f"{attribute[:80]} has no value", where.device)
    return Decoded((Reported(where.device, fields={attribute: read}),))


def _reported(external_id: str, group: Mapping[str, object], context: Context) -> Reported | None:
    time: int | None = None
    fields: dict[str, object] = {}
    for name, value in group.items():
        if name.lower() == "timeinstant":
            time = iso_moment(value.get("value") if isinstance(value, Mapping) else value, context.timezone)
        elif (read := _value(value)) is not None:
            fields[name] = read
    return Reported(external_id, fields=fields, phenomenon_time=time) if fields else None


def _value(value: object) -> object:
    """The value of an attribute: a number where it is one, text and truth values as they are; None for no reading."""
    told = next(instances("", value), None)  # with its type and unit, perhaps, as NGSI writes it
    if told is None or told.value is None or told.value == "" or isinstance(told.value, list | Mapping):
        return None
    number = as_number(told.value) if isinstance(told.value, str) else None
    plain = told.value if number is None else number
    return plain if told.unit is None else {"value": plain, "unit": told.unit}
