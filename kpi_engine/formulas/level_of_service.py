"""Level of service A (free) to F (broken down) of roads, as indices 0 to 5. Pure arrays.

The cuts come through public pages, not from the Highway Capacity Manual (HCM) itself.
"""

import numpy as np
from numpy.typing import NDArray

from kpi_engine.formulas.base import Floats
from kpi_engine.formulas.ratios import ratio
from kpi_engine.formulas.samples import cuts_above, measured

LEVELS = ("A", "B", "C", "D", "E", "F")

URBAN_STREET_CUTS = (30.0, 40.0, 50.0, 67.0, 85.0)
"""Speed in % of the base free-flow speed that levels E, D, C, B, A have to exceed."""

FREEWAY_CUTS = (6.8, 11.2, 16.2, 21.7, 28.0)
"""Greatest density of levels A to E in passenger cars per km and lane; 11, 18, 26, 35, 45 per mile."""

SIGNALISED_CUTS = (10.0, 20.0, 35.0, 55.0, 80.0)
"""Greatest control delay of levels A to E in seconds per vehicle."""

_F = float(LEVELS.index("F"))


def urban_street_share(space_mean_speed: Floats, base_free_flow_speed: Floats | float) -> Floats:
    """Speed in % of the base free-flow speed, both in km/h; NaN where a value is missing or cannot be."""
    return ratio(np.where(measured(space_mean_speed), 100.0 * space_mean_speed, np.nan), base_free_flow_speed)


def urban_street(
    space_mean_speed: Floats, base_free_flow_speed: Floats | float, volume_to_capacity: Floats | float = np.nan
) -> Floats:
    """T11 level of service of an urban street by its speed in % of the base free-flow speed.

    A above 85, B above 67, C above 50, D above 40, E above 30, F at or below 30: "more than 85 %", so that exactly 85 %
    is B. HCM 2010, verified through secondary material. Also F where `volume_to_capacity` exceeds 1 (recalled); NaN
    stands for a ratio that is not known. HCM 6 is recalled to ask 80 for A and is not used. NaN where speed is missing.
    """
    share = urban_street_share(space_mean_speed, base_free_flow_speed)
    level = _F - cuts_above(share, URBAN_STREET_CUTS)
    over_capacity = ~np.isnan(share) & (np.asarray(volume_to_capacity, float) > 1.0)
    return np.where(over_capacity, _F, level)


def freeway(density: Floats) -> Floats:
    """T12 level of service of a freeway by its density in passenger cars per km and lane, upper ends included.

    A to 6.8, B to 11.2, C to 16.2, D to 21.7, E to 28.0, F above: HCM, verified on a textbook page in miles and
    converted to one decimal. Trucks are to be counted as passenger cars first. NaN where missing or negative.
    """
    return cuts_above(np.where(measured(density), density, np.nan), FREEWAY_CUTS)


def signalised(control_delay: Floats) -> Floats:
    """T13 level of service of a signalised intersection by its control delay in s/veh, upper ends included.

    A to 10, B to 20, C to 35, D to 55, E to 80, F above: HCM 2000 and later (verified, tru-traffic.com). NaN where
    missing or negative.
    """
    return cuts_above(np.where(measured(control_delay), control_delay, np.nan), SIGNALISED_CUTS)


def letters(levels: Floats) -> NDArray[np.str_]:
    """Letters of level indices; empty where the index is NaN."""
    names = np.array([*LEVELS, ""])
    found: NDArray[np.str_] = names[np.nan_to_num(np.asarray(levels, float), nan=len(LEVELS)).astype(np.int64)]
    return found
