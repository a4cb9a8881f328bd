"""SenML (RFC 8428) in JSON and CBOR, with the units of RFC 8798: packs of records of one or several devices.

What a record measures is told by its name, by a LwM2M path in it, or by a unit that only one quantity has.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from ingest.decoders import decoder
from ingest.formats import lwm2m
from ingest.formats.positions import position
from ingest.formats.readings import as_suffix
from ingest.formats.senml_records import Record, is_pack, resolve
from ingest.measured import measured
from ingest.message import Context, Decoded, DecodedObservation, Incoming, Reported, ignored, metadata, undecoded
from ingest.vocabulary import meaning
from pulso.errors import DecodeError, RejectReason

_TELLING_UNITS = MappingProxyType(
    {
        "Cel": "temperature",
        "%RH": "humidity",
        "%EL": "battery",
        "W": "power",
        "kW": "power",
        "V": "voltage",
        "A": "current",
        "VA": "apparent_power",
        "kVA": "apparent_power",
        "var": "reactive_power",
        "kvar": "reactive_power",
    }
)
"""Units that tell the property of a record whose name does not. Others are those of several: Pa, m, %, ppm, Wh."""

_FACTORS = MappingProxyType({"/1000": (0.1, "%"), "/100": (1.0, "%"), "Bspl": (10.0, "dB"), "kg/m3": (1e9, "ug/m3")})
"""Units of SenML as a number of those that other messages use."""

_JOULE_PER_SECOND = "W"
_SEPARATORS = ":/"
_ENDS = ":/._-"
_DEVICE_URN = re.compile(
    r"(urn:dev:[a-z0-9]+:[^:/_]+|urn:(?:gsma:)?(?:uuid|imei|esn|meid):[^:/]+)(?:[:/_](.*))?", re.DOTALL | re.IGNORECASE
)
"""A device and what follows it. Of the URN of other name spaces nobody knows where the device ends."""
_CHANNEL = re.compile(r"\d{1,4}")
_COORDINATES = frozenset({"latitude", "longitude", "lat", "lon", "lng", "long"})
_OF_PLACES = frozenset({"altitude", "alt", "radius", "accuracy"})
"""Labels of what stands beside latitude and longitude."""
_LONGEST_NAME = 500


class _Meant(NamedTuple):
    """Of which thing a record tells, and what. `unit` for values that come without; `property` None: not of ours."""

    thing: str
    observed_property: str | None
    unit: str | None = None


@decoder(
    "senml",
    content_types=(
        "application/senml+json",
        "application/senml+cbor",
        "application/sensml+json",
        "application/sensml+cbor",
    ),
    looks_like=lambda message: is_pack(message.body, numbered=message.parsed.format != "json"),
)
def decode(message: Incoming, _context: Context) -> Decoded:
    """Decode one pack. Records whose meaning nobody can tell are left out; of only such ones it is refused."""
    things: dict[str, Reported] = {}
    places: dict[str, dict[str, float]] = {}
    names: list[str] = []
    frames: list[str] = []
    only_labels, only_places = True, True
    for record in resolve(message.body, message.received_at, numbered=message.parsed.format != "json"):
        meant = _meant(record, message.topic)
        only_labels = only_labels and record.is_label
        only_places = only_places and _is_of_a_place(record)
        if record.unit in ("lat", "lon") and record.value is not None:
            places.setdefault(meant.thing, {})[record.unit] = record.value
        observations = list(_observations(record, meant))
        if observations:
            thing = things.setdefault(meant.thing, Reported(meant.thing))
            thing.observations += observations
        else:
            names.append(record.name or record.unit or "?")
            frames += [meant.thing] if _is_frame(record) else []
    for name, place in places.items():
        if name in things:
            things[name].position = _position(place)
    if not things and frames:
        return undecoded("a frame that only a codec of the device can read", frames[0])
    located = [Reported(name, position=found) for name, place in places.items() if (found := _position(place))]
    if located and only_places:
        return metadata("positions alone", *located)
    if not things and names and only_labels:
        return ignored("labels, states or data: no number")
    if not things and not names:
        raise DecodeError(RejectReason.EMPTY, "no record holds a value")
    if not things:
        told = ", ".join(name[:80] for name in names[:12])
        raise DecodeError(RejectReason.UNMAPPED, f"no record has a name or unit that tells what it measures: {told}")
    return Decoded(tuple(things.values()))


def _is_of_a_place(record: Record) -> bool:
    return record.unit in ("lat", "lon") or re.split(r"[:/]", record.name)[-1] in _OF_PLACES


def _position(place: Mapping[str, float]) -> tuple[float, float] | None:
    return position(place.get("lat"), place.get("lon"))


def _is_frame(record: Record) -> bool:
    """Whether a record holds the bytes of a LoRaWAN device, as KPN Things passes them on with their port."""
    return record.is_label and record.flag is None and re.split(r"[:/]", record.name)[-1] == "payload"


def _observations(record: Record, meant: _Meant) -> Iterator[DecodedObservation]:
    if meant.observed_property is None:
        return
    value = record.value if record.value is not None or record.flag is None else float(record.flag)
    unit = record.unit or meant.unit
    if unit is None:
        return
    observation = _measured(meant.observed_property, value, unit, record.time)
    if observation is not None:
        yield observation
    if meant.observed_property.startswith("power") and unit == _JOULE_PER_SECOND and record.total is not None:
        energy = measured(
            "energy_import" + meant.observed_property.removeprefix("power"), record.total, "J", at=record.time
        )
        if energy is not None:
            yield energy


def _measured(observed_property: str, value: float | None, unit: str, at: int | None) -> DecodedObservation | None:
    factor, other = _FACTORS.get(unit, (None, unit))
    if factor is None or value is None:
        return measured(observed_property, value, other, at=at)
    observation = measured(observed_property, value * factor, other, at=at)
    return None if observation is None else observation._replace(sent_result=value, sent_unit=unit)


def _meant(record: Record, topic: str) -> _Meant:
    """Of which thing a record tells, and what.

    A name is a device followed by what is measured: `urn:dev:ow:10e2073a01080063:voltage`, `station-7/temperature`,
    `bin-12/3435/0/2`. A record that names no device is one of the topic it came on.
    """
    name = record.name[:_LONGEST_NAME]
    path = lwm2m.parse(name)
    if path is not None:
        if path.generic:
            return _Meant(path.device or topic, _TELLING_UNITS.get(record.unit or ""))
        return _Meant(path.device or topic, *(path.observed or (None,)))
    for thing, label in _divisions(record, name):
        if record.unit in ("lat", "lon") and label in _COORDINATES:
            return _Meant(thing or topic, None)
        observed_property, unit = _labelled(label, _common(record.unit))
        if observed_property is not None:
            return _Meant(thing or topic, observed_property, unit)
    return _told_by_unit(record, name, topic)


def _told_by_unit(record: Record, name: str, topic: str) -> _Meant:
    """The meaning of a record with a unit that only one quantity has, and without a name for what it measures.

    A name may end with a number of the sensor: in a device URN it becomes the suffix of the property, in other names
    nobody can tell device and sensor apart, and the whole name is the thing. Other words in a name may say that the
    value is a limit, a mean or a setting, so such a record means nothing.
    """
    urn = _DEVICE_URN.fullmatch(name)
    thing, label = (urn[1], urn[2] or "") if urn is not None else (name.rstrip(_ENDS), "")
    last = re.split(r"[:/]", label or thing)[-1]
    observed_property = _TELLING_UNITS.get(record.unit or "")
    is_whole = not label and (urn is not None or last == thing)
    if not (is_whole or last[-1:].isdigit()) or any(meaning(word) for word in re.split(r"[-_. ]", last)):
        observed_property = None
    if observed_property is not None and label:
        observed_property = f"{observed_property}_{as_suffix(label)}"
    return _Meant(thing or topic, observed_property)


def _common(unit: str | None) -> str | None:
    """The unit by which other messages state the quantity."""
    return unit if unit is None else _FACTORS.get(unit, (1.0, unit))[1]


def _divisions(record: Record, name: str) -> Iterator[tuple[str, str]]:
    """The ways to divide a name into a device and a label, the likeliest first."""
    urn = _DEVICE_URN.fullmatch(name)
    if urn is not None:
        if urn[2]:
            yield urn[1], urn[2]
        return
    cut = max(name.rfind(separator) for separator in _SEPARATORS)
    if record.own and not any(separator in record.own for separator in _SEPARATORS):
        yield record.base.rstrip(_ENDS), record.own
    if cut >= 0:
        yield name[:cut].rstrip(_ENDS), name[cut + 1 :]
        if _CHANNEL.fullmatch(name[cut + 1 :]):
            yield _parent(name[:cut]), name[max(name.rfind(separator, 0, cut) for separator in _SEPARATORS) + 1 :]
    elif not record.base:
        yield "", name


def _parent(name: str) -> str:
    cut = max(name.rfind(separator) for separator in _SEPARATORS)
    return name[: max(cut, 0)].rstrip(_ENDS)


def _labelled(label: str, unit: str | None) -> tuple[str | None, str | None]:
    """What a label means: by its last part or, if that is a number, by the one before it, as a channel."""
    parts = [part for part in re.split(r"[:/]", label) if part]
    suffix = ""
    if len(parts) > 1 and _CHANNEL.fullmatch(parts[-1]):
        suffix = f"_ch{int(parts.pop())}"
    known = meaning(parts[-1], unit) if parts else None
    if known is None or not known.certain:
        return None, None
    return known.observed_property + suffix, known.unit
