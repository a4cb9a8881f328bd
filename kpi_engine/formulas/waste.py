"""Waste bins: how full they are."""

import numpy as np

from kpi_engine.formulas.base import Floats, Outcome, Scope, divide, everyone, formula


def _last_fill(scope: Scope) -> tuple[Floats, Floats]:
    """Last fill level of each bin within the window in %, and 1 where it reported one, else 0."""
    panes = scope.inputs["fill_level"]
    newest = scope.slots.newest(panes.field("count") > 0)
    last = np.take_along_axis(panes.field("last"), newest.clip(min=0), axis=0)
    return last, (newest >= 0).astype(float)


@formula("overflow_rate", inputs=("fill_level",), parameters={"overflow_percent": 95.0})
def overflow_rate(scope: Scope) -> Outcome:
    """Share of the reporting bins whose last fill level is at or above `overflow_percent`, in %.

    Bins that did not report within the window are in the coverage, not in the rate.
    """
    last, reported = _last_fill(scope)
    total = scope.things.zoning.total
    full = total(reported * (last >= scope.number("overflow_percent")))
    return Outcome(
        100 * divide(full, total(reported)),
        total(reported),
        total(everyone(scope)),
        detail=lambda window, zone: {"overflowing": int(full[window, zone])},
    )


@formula("mean_last", inputs=("fill_level",))
def mean_last(scope: Scope) -> Outcome:
    """Mean of the last fill level of each reporting bin, in %."""
    last, reported = _last_fill(scope)
    total = scope.things.zoning.total
    return Outcome(divide(total(reported * last), total(reported)), total(reported), total(everyone(scope)))
