"""Tasmota: `tele/<topic>/SENSOR` and the answers `stat/<topic>/STATUS8` and `STATUS10`, in any order of the full topic.

One JSON object, with one table per sensor driver; names within are the same for all drivers
(https://tasmota.github.io/docs/JSON-Status-Responses/). See docs/reference/formats/tasmota.md.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ingest.decoders import NotMine, decoder
from ingest.formats.readings import Readings, as_suffix, as_table, as_text, epoch_moment, is_no_reading, moment
from ingest.measured import as_number
from ingest.message import Context, Decoded, Incoming, Reported, ignored, metadata
from pulso.errors import DecodeError, RejectReason

_PREFIXES = frozenset({"tele", "stat"})
_SENSOR = frozenset({"SENSOR", "STATUS8", "STATUS10"})
_STATE = "STATE"
_OLD_ENERGY = "ENERGY"  # of releases before 5.12: the table itself, with its time
_NOT_MEASURED = re.compile(
    r"STATE|LWT|INFO\d|RESULT|UPTIME|POWER\d*|HASS_STATE|STATUS\d{0,2}|LOGGING|MARGINS|WAKEUP"
    r"|BUTTON\d*|SWITCH\d*|SSERIAL|BLES?"
)
_FOREIGN = re.compile(r"(?!Ir|Rf)\w*Received")  # what a bridge passes on: its meaning is its sender's
_ZIGBEE = "ZbReceived"
_BATTERY = "BatteryPercentage"
_NO_CLOCK = "1970"  # before its first answer from a time server a device counts from 1970
_FIRST_CLOCK = 31_536_000  # the end of that year, in seconds

_QUANTITIES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {  # names that all drivers share, with the unit the documentation states
        "Humidity": ("humidity", "%"),
        "CarbonDioxide": ("co2", "ppm"),
        "TVOC": ("tvoc", "ppb"),
        "PM1": ("pm1", "µg/m³"),
        "PM2.5": ("pm2_5", "µg/m³"),
        "PM4": ("pm4", "µg/m³"),
        "PM4.0": ("pm4", "µg/m³"),
        "PM10": ("pm10", "µg/m³"),
    }
)
_METER_CHIP: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"Voltage": ("voltage", "V"), "Current": ("current", "A"), "Power": ("power", "W")}
)
_OF_DRIVER: Mapping[str, Mapping[str, tuple[str, str]]] = MappingProxyType(
    {  # names that mean something with these drivers only
        "INA219": _METER_CHIP,
        "INA226": _METER_CHIP,
        "INA3221": _METER_CHIP,
        "HX711": {"Weight": ("weight", "kg")},
        "SR04": {"Distance": ("distance", "cm")},
        "VL53L0X": {"Distance": ("distance", "mm")},
        "VL53L1X": {"Distance": ("distance", "mm")},
        "TOF10120": {"Distance": ("distance", "mm")},
        "SPS30": {"PM1_0": ("pm1", "µg/m³"), "PM2_5": ("pm2_5", "µg/m³"), "PM4_0": ("pm4", "µg/m³")},
    }
)
_OF_ENERGY: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "Total": ("energy_import", "kWh"),
        "ExportActive": ("energy_export", "kWh"),
        "Power": ("power", "W"),
        "ApparentPower": ("apparent_power", "VA"),
        "ReactivePower": ("reactive_power", "VAr"),
        "Factor": ("power_factor", "1"),
        "Voltage": ("voltage", "V"),
        "Current": ("current", "A"),
        "Frequency": ("frequency", "Hz"),
    }
)
_TARIFFS = MappingProxyType({"TotalTariff": "energy_import", "ExportTariff": "energy_export"})
_PHASE = re.compile(r"Phase([1-8])")
_CLAMP = re.compile(r"CTEnergy([1-8])")
_OF_CLAMP: Mapping[str, tuple[str, str]] = MappingProxyType(
    {  # a current transformer at an analog input, https://tasmota.github.io/docs/ADC/
        "Energy": ("energy_import", "kWh"),
        "Power": ("power", "W"),
        "Voltage": ("voltage", "V"),
        "Current": ("current", "A"),
    }
)
_OF_TELEINFO: Mapping[str, tuple[str, str]] = MappingProxyType(
    {  # labels of French meters, in the units of Enedis-NOI-CPT_54E; https://tasmota.github.io/docs/Teleinfo/
        "BASE": ("energy_import", "Wh"),
        "EAST": ("energy_import", "Wh"),
        "EAIT": ("energy_export", "Wh"),
        **{f"EASF{number:02}": (f"energy_import_t{number}", "Wh") for number in range(1, 11)},
        "HCHC": ("energy_import_t1", "Wh"),
        "HCHP": ("energy_import_t2", "Wh"),
        "PAPP": ("apparent_power", "VA"),
        "SINSTS": ("apparent_power", "VA"),
        "IINST": ("current", "A"),
        **{f"SINSTS{phase}": (f"apparent_power_l{phase}", "VA") for phase in (1, 2, 3)},
        **{f"IINST{phase}": (f"current_l{phase}", "A") for phase in (1, 2, 3)},
        **{f"IRMS{phase}": (f"current_l{phase}", "A") for phase in (1, 2, 3)},
        **{f"URMS{phase}": (f"voltage_l{phase}", "V") for phase in (1, 2, 3)},
    }
)
_OF_ZIGBEE: Mapping[str, tuple[str, str]] = MappingProxyType(
    {  # attributes that the Zigbee bridge passes on, https://tasmota.github.io/docs/Zigbee/
        "Temperature": ("temperature", "°C"),
        "Humidity": ("humidity", "%"),
        "Pressure": ("pressure", "hPa"),
        "BatteryPercentage": ("battery", "%"),
        "BatteryVoltage": ("battery_voltage", "V"),
        "ActivePower": ("power", "W"),
        "RMSVoltage": ("voltage", "V"),
    }
)
_WITHOUT_QUANTITY = frozenset(
    {  # values of known meaning that no observed property stands for
        *("Id", "Address", "Model", "DewPoint", "HeatIndex", "SeaPressure", "Illuminance", "Gas", "IAQ", "IAQAccuracy"),
        *("eCO2", "aHumidity", "Baseline", "Type", "WeightRaw", "AbsTruth", "Infrared", "IR", "Broadband", "UvLevel"),
        *("UvIndex", "UvPower", "Ambient", "White", "Red", "Green", "Blue", "CCT", "Proximity", "Illuminance1"),
        *("VOC_INDEX", "VOC_SRAW", "NOX_INDEX", "NOX_SRAW"),
        *("PartSize", "TYPSIZ", "NOxIndex", "VOCIndex", "AQI", "Light", "Noise", "AirQuality", "Resistance", "Ratio"),
    }
)
_WITHOUT_QUANTITIES = re.compile(
    r"GPS|COUNTER|AS3935|PN532|RDM6300|M?F?RC522|Wiegand|FPRINT|R503|MPU\w*|WIFI|SWITCH|BUTTON|PCF\w*|MCP230\w*"
    r"|Shutter\d*|ADXL345|TX2[03]|WINDMETER|THERMOSTAT\d*|PCA9685|WS2812"
)
_OF_DEVICE = frozenset({"ESP32", "BL0940", "BL0942", "BL09XX", "BL6523", "CSE7761"})  # chips that tell their own heat
_BLUETOOTH = frozenset({"mac", "MAC", "RSSI"})
_AT_THE_TOP = frozenset({"Temperature", "Humidity"})  # of drivers that have no table, as that of the Sonoff SC had
_PARTICLE_COUNTS = re.compile(r"(CF|PB|NCPM)[\d._]+")
_INDEXED = re.compile(r"(?P<driver>.+?)[-_](?P<index>\d{1,3})")
_INDEXED_ANALOG = re.compile(r"(?P<name>Temperature|Humidity)(?P<index>\d)")
_MOST_PHASES = 8
_MOST_CHANNELS = 8
_MOST_VALUES = 500  # of a message; the firmware's buffer holds far fewer


def _looks_like(message: Incoming) -> bool:
    """The documented message on a full topic of any other shape."""
    kind = message.levels[-1]
    if (kind not in _SENSOR and kind != _STATE) or len(message.levels) < 2 or message.payload.lstrip()[:1] != b"{":
        return False
    body = message.body
    if not isinstance(body, dict):
        return False
    if kind == _STATE:
        return "Uptime" in body and "Wifi" in body
    return not body.keys().isdisjoint({"Time", "StatusSNS", _ZIGBEE})


@decoder(
    "tasmota",
    topics=(
        *("tele/#", "stat/#", "cmnd/#", "tasmota/discovery/#"),
        *(f"{'+/' * depth}{prefix}/+" for depth in (1, 2, 3, 4) for prefix in ("tele", "stat")),
    ),
    looks_like=_looks_like,
    retained=("tasmota/discovery/#",),
)
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode the sensors of one device. Time: `Time`, by the clock of the site if it has no zone; 1970 is no time."""
    if message.levels[0] == "cmnd":
        return ignored("a command to a device")
    if message.levels[:2] == ["tasmota", "discovery"]:
        return _discovery(message)
    name, kind = _device(message.levels)
    if kind == _OLD_ENERGY:
        body = as_table(message.body, "the message")
        return _read({**body, _OLD_ENERGY: body}, name, context)
    if kind not in _SENSOR and not _NOT_MEASURED.fullmatch(kind):
        raise NotMine
    if kind in _SENSOR or kind == "STATUS0":
        return _sensors(message, name, context)
    return _other(message, name, kind, context)


def _device(levels: list[str]) -> tuple[str, str]:
    """Name of the device, which may have slashes, and kind of message."""
    kind = levels[-1]
    rest = levels[1:-1] if levels[0] == "" else levels[:-1]  # a full topic may begin with a slash
    if rest and rest[0] in _PREFIXES:
        rest = rest[1:]
    elif rest and rest[-1] in _PREFIXES:
        rest = rest[:-1]
    else:
        place = next((place for place, level in enumerate(rest) if level in _PREFIXES), None)
        rest = rest if place is None else rest[:place] + rest[place + 1 :]
    if not rest or not all(rest):
        raise NotMine
    return "/".join(rest), kind


def _discovery(message: Incoming) -> Decoded:
    """What a device tells about itself; its addresses and host name are left aside."""
    if not message.payload:
        return metadata("a device withdrew its description")
    about = as_table(message.body, "the description")
    name = as_text(about.get("t"))
    if name is None:
        return metadata("the sensors of a device")
    model = as_text(about.get("md"))
    return metadata("the description of a device", Reported(name, model=() if model is None else (model,)))


def _other(message: Incoming, name: str, kind: str, context: Context) -> Decoded:
    """What is about the device itself, whose battery may stand among it, or a result."""
    if kind == "RESULT" and (passed_on := _passed_on(message)):
        if passed_on != {_ZIGBEE}:
            raise NotMine
        return _sensors(message, name, context)
    state = _fields(message) if kind in (_STATE, "STATUS11") else {}
    inner = state.get("StatusSTS")
    state = inner if isinstance(inner, dict) else state
    if _BATTERY not in state:
        return ignored(f"{kind} holds no measurement", name)
    at = _time(state, context)
    readings = Readings(at)
    readings.add("battery", state[_BATTERY], "%")
    return Decoded((Reported(name, observations=readings.observations, phenomenon_time=at),))


def _fields(message: Incoming) -> Mapping[str, object]:
    """The JSON object of a message; nothing for any other one."""
    body = message.body if message.payload.lstrip()[:1] == b"{" else None
    return body if isinstance(body, dict) else {}


def _passed_on(message: Incoming) -> set[str]:
    """The keys of a result under which the device passes on what others said."""
    return {key for key in _fields(message) if _FOREIGN.fullmatch(key)}


def _sensors(message: Incoming, name: str, context: Context) -> Decoded:
    body = as_table(message.body, "the message")
    if "StatusSNS" in body:
        body = as_table(body["StatusSNS"], "StatusSNS")
    elif message.levels[-1] not in ("SENSOR", "RESULT"):
        return ignored("a status without sensors", name)
    return _read(body, name, context)


def _read(body: Mapping[str, object], name: str, context: Context) -> Decoded:
    at = _time(body, context)
    if isinstance(body.get(_ZIGBEE), dict):
        return _zigbee(as_table(body[_ZIGBEE], _ZIGBEE), at)
    readings = Readings(at)
    unknown: dict[str, object] = {}
    tables = [(key, value) for key, value in body.items() if isinstance(value, dict)]
    tables.append(("", {key: body[key] for key in body.keys() & _AT_THE_TOP}))
    if len(body) > _MOST_VALUES or sum(len(table) for _, table in tables) > _MOST_VALUES:
        raise DecodeError(RejectReason.TOO_MANY_PROPERTIES, f"more than {_MOST_VALUES} values in one message")
    units = _units(body)
    for sensor, table in tables:
        if sensor == "ENERGY":
            _read_energy(readings, table)
        elif sensor == "TIC":
            for key, (observed_property, unit) in _OF_TELEINFO.items():
                readings.add(observed_property, table.get(key), unit)
        elif not _WITHOUT_QUANTITIES.fullmatch(sensor):
            unknown |= _read_sensor(readings, sensor, table, units)
    if not readings.observations and not unknown:
        return ignored("no sensor measures anything", name)
    return Decoded((Reported(name, None, readings.observations, unknown or None, at),))


def _time(body: Mapping[str, object], context: Context) -> int | None:
    """`Epoch`, or `Time` as the setting of that name has it: a text or seconds since 1970.

    Releases before 5.12 wrote the date with points.
    """
    value = body.get("Time")
    for seconds in (body.get("Epoch"), value):
        if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= _FIRST_CLOCK:
            return epoch_moment(seconds, per_second=1)
    text = as_text(value)
    if text is None or text.startswith(_NO_CLOCK):
        return None
    return moment(re.sub(r"^(\d{4})\.(\d\d)\.(\d\d)", r"\1-\2-\3", text), context.timezone)


def _units(body: Mapping[str, object]) -> Mapping[str, tuple[str, str]]:
    """The quantities whose unit is a setting of the device and stands beside the sensors."""
    temperature = as_text(body.get("TempUnit")) or "C"
    pressure = as_text(body.get("PressureUnit")) or "hPa"
    return {
        "Temperature": ("temperature", {"C": "°C", "F": "°F"}.get(temperature, temperature)),
        "Pressure": ("pressure", {"mmH2O": "mm[H2O]"}.get(pressure, pressure)),
    }


def _read_energy(readings: Readings, table: Mapping[str, object]) -> None:
    """The driver of all meters: a list, or a table of `Phase1` and so on, holds one value per phase."""
    for key, (observed_property, unit) in _OF_ENERGY.items():
        value = table.get(key)
        if isinstance(value, list):
            for number, each in enumerate(value[:_MOST_PHASES], 1):
                readings.add(f"{observed_property}_l{number}", each, unit)
        elif isinstance(value, dict):
            for name, each in value.items():
                if phase := _PHASE.fullmatch(name):
                    readings.add(f"{observed_property}_l{phase[1]}", each, unit)
        else:
            readings.add(observed_property, value, unit)
    for key, observed_property in _TARIFFS.items():
        values = table.get(key)
        for number, each in enumerate(values[:_MOST_PHASES] if isinstance(values, list) else (), 1):
            readings.add(f"{observed_property}_t{number}", each, "kWh")


def _read_sensor(
    readings: Readings, sensor: str, table: Mapping[str, object], units: Mapping[str, tuple[str, str]]
) -> dict[str, object]:
    """Read one sensor; what it returns are numbers under names that no driver documents, as those of meter scripts."""
    indexed = _INDEXED.fullmatch(sensor)
    driver = indexed["driver"] if indexed else sensor
    suffix = f"_ch{indexed['index']}" if indexed else ""
    known = {**_QUANTITIES, **units, **_OF_DRIVER.get(driver, {})}
    if not _BLUETOOTH.isdisjoint(table):  # a Bluetooth sensor that the device listens to
        known["Battery"] = ("battery", "%")
    unknown: dict[str, object] = {}
    for key, value in table.items():
        inner = _INDEXED_ANALOG.fullmatch(key)
        if isinstance(value, dict):
            _read_clamp(readings, key, value)
        elif inner is not None and inner["name"] in known:
            observed_property, unit = known[inner["name"]]
            _add(readings, f"{observed_property}{suffix}_ch{inner['index']}", value, unit, sensor)
        elif key in known:
            observed_property, unit = known[key]
            if driver in _OF_DEVICE and observed_property == "temperature":
                observed_property = "device_temperature"
            if isinstance(value, list):
                for number, each in enumerate(value[:_MOST_CHANNELS], 1):
                    _add(readings, f"{observed_property}{suffix}_ch{number}", each, unit, sensor)
            else:
                _add(readings, f"{observed_property}{suffix}", value, unit, sensor)
        elif driver != "ANALOG" and _is_unknown(key, value):
            unknown[key if key not in unknown else f"{sensor}_{key}"] = value
    return unknown


def _read_clamp(readings: Readings, name: str, table: Mapping[str, object]) -> None:
    clamp = _CLAMP.fullmatch(name)
    if clamp is None:
        return
    for key, (observed_property, unit) in _OF_CLAMP.items():
        readings.add(f"{observed_property}_ch{clamp[1]}", table.get(key), unit)


def _add(readings: Readings, observed_property: str, value: object, unit: str, sensor: str) -> None:
    """Add a reading; one that another sensor of the device has already made gets the name of its sensor behind it."""
    if observed_property in readings:
        observed_property = f"{observed_property}_{as_suffix(sensor)}"
    readings.add(observed_property, value, unit)


def _is_unknown(key: str, value: object) -> bool:
    is_known = key in _WITHOUT_QUANTITY or _PARTICLE_COUNTS.fullmatch(key)
    return not is_known and not is_no_reading(value) and as_number(value) is not None


def _zigbee(devices: Mapping[str, object], at: int | None) -> Decoded:
    """One thing for each Zigbee device that the bridge passes on: by its name, else by its address."""
    things = list(_zigbee_things(devices, at))
    return Decoded(things) if things else ignored("a Zigbee device that measures nothing")


def _zigbee_things(devices: Mapping[str, object], at: int | None) -> Iterator[Reported]:
    for address, table in devices.items():
        if not isinstance(table, dict):
            continue
        readings = Readings(at)
        for key, (observed_property, unit) in _OF_ZIGBEE.items():
            readings.add(observed_property, table.get(key), unit)
        if readings.observations:
            name = as_text(table.get("Name")) or as_text(table.get("IEEEAddr")) or address
            model = as_text(table.get("ModelId"))
            yield Reported(name, observations=readings.observations, model=() if model is None else (model,))
