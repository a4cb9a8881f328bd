"""The Smart Data Models of the four families: what their attributes measure, in which unit.

Source: github.com/smart-data-models (CC BY 4.0): dataModel.Transportation, .Parking, .WasteManagement, .Energy,
.Environment, .Weather, .Device, .Streetlighting. A unit that a message states goes before the one named here.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ingest.formats.ngsi_entity import folded
from pulso.model import Family


class Quantity(NamedTuple):
    """What an attribute measures. `unit` is the one the model defines; None: it counts only where it is stated.

    `words` are the values of an attribute that is told in words.
    """

    observed_property: str
    unit: str | None
    words: Mapping[str, float] | None = None


class Model(NamedTuple):
    """A data model: its family and, by folded name, what its attributes measure. Others are settings or labels.

    `is_elsewhere`: what it measures is not of the air, road, bin or meter, so that no other attribute of it is read.
    """

    family: Family | None
    quantities: Mapping[str, Quantity]
    is_elsewhere: bool = False


def _model(family: Family | None, **quantities: tuple[str, str | None]) -> Model:
    return Model(family, MappingProxyType({folded(name): Quantity(*quantity) for name, quantity in quantities.items()}))


FRACTION = "1"
"""The unit of shares that models express in parts per one."""

AT_THIS_INSTANT = "instValue"
"""Where a `TimeSeriesAggregation` has its value of now; the others are of a period."""

_BATTERY = {"batteryLevel": ("battery", FRACTION)}
_CLIMATE: dict[str, tuple[str, str | None]] = {
    "temperature": ("temperature", "Cel"),
    "relativeHumidity": ("humidity", FRACTION),
    "atmosphericPressure": ("pressure", "hPa"),
}
# Models of air quality leave the unit to unitCode; their examples and documents are in µg/m³, and CO2 in ppm.
_AIR: dict[str, tuple[str, str | None]] = {
    **_CLIMATE,
    **{gas: (gas, "ug/m3") for gas in ("co", "no", "no2", "nox", "o3", "so2")},
    **{name: (name, "ug/m3") for name in ("pm1", "pm4", "pm10")},
    "pm25": ("pm2_5", "ug/m3"),
    "co2": ("co2", "ppm"),
    "volatileOrganicCompoundsTotal": ("tvoc", None),
    "tvoc": ("tvoc", None),
    "airQualityIndex": ("aqi", "1"),
    "aqi": ("aqi", "1"),
    "noiseLevel": ("noise", None),
    "LAeq": ("noise", "dB"),
    **_BATTERY,
}
_FLOW: dict[str, tuple[str, str | None]] = {
    "intensity": ("vehicle_count", "1"),
    "occupancy": ("occupancy", FRACTION),
    "averageVehicleSpeed": ("speed", "km/h"),
    "averageSpeed": ("speed", "km/h"),
    "travelTime": ("travel_time", None),
}
_ELECTRICITY: dict[str, tuple[str, str | None]] = {
    "totalActiveEnergyImport": ("energy_import", "kWh"),
    "totalActiveEnergyExport": ("energy_export", "kWh"),
    "activeEnergyImport": ("energy_import", "kWh"),
    "activeEnergyExport": ("energy_export", "kWh"),
    "totalActivePower": ("power", "W"),
    "activePower": ("power", "W"),
    "totalReactivePower": ("reactive_power", "var"),
    "reactivePower": ("reactive_power", "var"),
    "totalApparentPower": ("apparent_power", "VA"),
    "apparentPower": ("apparent_power", "VA"),
    "totalPowerFactor": ("power_factor", "1"),
    "powerFactor": ("power_factor", "1"),
    "frequency": ("frequency", "Hz"),
    "current": ("current", "A"),
    "phaseVoltage": ("voltage", "V"),
    "voltage": ("voltage", "V"),
    "phaseToPhaseVoltage": ("voltage", "V"),
}
_UNITS_STATED: dict[str, tuple[str, str | None]] = {
    "totalConsumption": ("energy_import", None),
    "energyConsumed": ("energy_import", None),
    "activePower": ("power", None),
    "powerConsumption": ("power", None),
    "totalActivePower": ("power", None),
    "powerFactor": ("power_factor", "1"),
    "voltage": ("voltage", "V"),
    "phaseVoltage": ("voltage", "V"),
    "current": ("current", "A"),
    "frequency": ("frequency", "Hz"),
    "temperature": ("temperature", "Cel"),
}
_CABINET: dict[str, tuple[str, str | None]] = {
    **_UNITS_STATED,
    "energyConsumed": ("energy_import", "kWh"),
    "totalActivePower": ("power", "kW"),
    **{
        f"{name}{letter}": (f"{observed_property}_l{phase}", unit)
        for phase, letter in enumerate("RST", 1)
        for name, observed_property, unit in (
            ("intensity", "current", "A"),
            ("voltage", "voltage", "V"),
            ("activePower", "power", "kW"),
            ("reactivePower", "reactive_power", None),  # the model calls its unit kVArh, which is none of a power
            ("powerFactor", "power_factor", "1"),
        )
    },
}
_CROWD: dict[str, tuple[str, str | None]] = {
    "peopleCount": ("people_count", "1"),
    "peopleCountTowards": ("people_count_towards", "1"),
    "peopleCountAway": ("people_count_away", "1"),
    "occupancy": ("occupancy", FRACTION),
    "averageCrowdSpeed": ("speed", None),
}
_PARKING = Model(
    Family.TRAFFIC,
    MappingProxyType({"status": Quantity("parking_occupied", "1", MappingProxyType({"occupied": 1.0, "free": 0.0}))}),
)

_WEATHER = _model(Family.AIR, **_CLIMATE)
_AIR_QUALITY = _model(Family.AIR, **_AIR)
_NO_QUANTITIES = _model(None)
_OF_THINGS = (
    *("Building", "BikeHireDockingStation", "EVChargingStation", "TechnicalCabinetDevice", "PhotovoltaicDevice"),
    *("StreetlightGroup", "StreetlightModel", "PointOfInterest", "GtfsStop", "TransportStation", "CityWork"),
    *("ElectroMagneticObserved", "AeroAllergenObserved", "Alert"),
)
"""Models that describe something, or measure what we have no property for."""

_ELSEWHERE = (
    *("WaterObserved", "WaterQualityObserved", "FloodMonitoring", "PhreaticObserved", "RainFallRadarObserved"),
    *("MosquitoDensity", "NightSkyQuality", "TrafficEnvironmentImpact", "CarbonFootprint"),
)
"""Models of what has the same names as what we measure: the temperature of water, the CO2 that traffic emits."""

MODELS: Mapping[str, Model] = MappingProxyType(
    {
        "TrafficFlowObserved": _model(Family.TRAFFIC, **_FLOW),
        "ItemFlowObserved": _model(Family.TRAFFIC, **_FLOW),
        "CrowdFlowObserved": _model(Family.TRAFFIC, **_CROWD),
        "ParkingSpot": _PARKING,
        **dict.fromkeys(
            ("OffStreetParking", "OnStreetParking", "ParkingGroup"),
            _model(Family.TRAFFIC, percentageOccupancy=("occupancy", "%")),
        ),
        **dict.fromkeys(("ParkingAccess", "Road", "RoadSegment", "BikeLane", "RoadAccident"), _model(Family.TRAFFIC)),
        "WasteContainer": _model(
            Family.WASTE,
            fillingLevel=("fill_level", FRACTION),
            cargoWeight=("weight", "kg"),
            temperature=("temperature", "Cel"),
            batteryLevel=("battery", FRACTION),
        ),
        "WasteContainerIsle": _model(Family.WASTE),
        "WasteContainerModel": _model(Family.WASTE),
        "WasteObserved": _model(Family.WASTE, weight=("weight", "kg")),
        "ThreePhaseAcMeasurement": _model(Family.ENERGY, **_ELECTRICITY),
        "ACMeasurement": _model(Family.ENERGY, **_ELECTRICITY),
        "SmartMeteringObservation": _model(Family.ENERGY, **_UNITS_STATED),
        "SolarEnergy": _model(Family.ENERGY, **_UNITS_STATED),
        "InverterDevice": _model(Family.ENERGY, **_UNITS_STATED),
        "Streetlight": _model(Family.ENERGY, **_UNITS_STATED),
        "StreetlightControlCabinet": _model(Family.ENERGY, **_CABINET),
        "AirQualityObserved": _AIR_QUALITY,
        "AirQualityMonitoring": _model(
            Family.AIR,
            airQualityIndex=("aqi", "1"),
            airTemperatureTSA=("temperature", "Cel"),
            ambientNoiseTSA=("noise", "dB"),
            atmosphericPressureTSA=("pressure", "hPa"),
            pm10TSA=("pm10", "ug/m3"),
            pm25TSA=("pm2_5", "ug/m3"),
        ),
        "EnvironmentObserved": _AIR_QUALITY,
        "IndoorEnvironmentObserved": _model(Family.AIR, **_AIR, peopleCount=("people_count", "1")),
        "NoiseLevelObserved": _model(Family.AIR, LAeq=("noise", "dB")),
        "NoisePollution": _model(Family.AIR, LAeq=("noise", "dB"), Laeq2=("noise", "dB")),
        "WeatherObserved": _WEATHER,
        "Device": _model(None, **_BATTERY),
        "DeviceModel": _NO_QUANTITIES,
        **dict.fromkeys(_OF_THINGS, _NO_QUANTITIES),
        **dict.fromkeys(_ELSEWHERE, _NO_QUANTITIES._replace(is_elsewhere=True)),
        "DeviceMeasurement": _NO_QUANTITIES,
        "Measurement": _NO_QUANTITIES,
    }
)
"""By entity type."""

MEASURES_ONE_PROPERTY = frozenset({"Device", "DeviceMeasurement", "Measurement"})
"""Models that name what they measure in `controlledProperty` and its value in `numValue` or `value`."""

COMMON_WORDS = frozenset({"Alert", "Building", "Device", "Measurement", "Road", "Streetlight"})
"""Types that other JSON uses as well, so that they alone tell no data model."""

ABOUT_SOMEONE = frozenset(
    {
        "AnonymousCommuterId",
        "AnprFlowObserved",
        "FleetVehicle",
        "FleetVehicleOperation",
        "FleetVehicleStatus",
        "Person",
        "RestrictionException",
        "TrafficViolation",
        "Vehicle",
        "VehicleFault",
    }
)
"""Models of single vehicles and people: number plates, routes, owners. Nothing of them is kept, not even the id."""

_HEAVY = frozenset({"lorry", "truck", "bus", "coach", "tractor", "trailer", "carwithtrailer", "van", "heavy"})
_BIKES = frozenset({"bicycle", "bike", "cyclist", "ebike"})
_CARS = frozenset({"car", "taxi", "passengercar"})
_WALKERS = frozenset({"pedestrian", "person", "people", "walker"})
_ANY_VEHICLE = frozenset({"", "vehicle", "anyvehicle", "all", "any", "other"})


def counted(kind: str) -> str | None:
    """The property that counts items of a kind, as `vehicleType` and `itemType` spell it; None: not those of a street.

    >>> counted("lorry"), counted("pedestrian"), counted("yacht"), counted("motorcycle")
    ('vehicle_count_heavy', 'pedestrian_count', None, 'vehicle_count_motorcycle')
    """
    kind = folded(kind)
    if kind in _ANY_VEHICLE:
        return "vehicle_count"
    for property_name, kinds in (
        ("vehicle_count_heavy", _HEAVY),
        ("vehicle_count_bike", _BIKES),
        ("vehicle_count_car", _CARS),
        ("pedestrian_count", _WALKERS),
    ):
        if kind in kinds:
            return property_name
    return f"vehicle_count_{kind}" if kind in ("motorcycle", "motorscooter", "moped", "scooter", "tram") else None
