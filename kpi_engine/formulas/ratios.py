"""Quotients that say NaN instead of something wrong: the arithmetic that many indicators share. Pure arrays."""

import numpy as np

from kpi_engine.formulas.base import Floats, divide


def ratio(numerator: Floats | float, denominator: Floats | float) -> Floats:
    """Quotient of two quantities that broadcast.

    NaN where one of them is missing or infinite, the denominator is not positive, or the quotient is too large for a
    number.
    """
    above, below = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    with np.errstate(over="ignore", invalid="ignore"):
        quotient = divide(above, np.where(np.isfinite(below), below, np.nan))
    return np.where(np.isfinite(quotient), quotient, np.nan)


def share_percent(part: Floats | float, whole: Floats | float) -> Floats:
    """100 * part / whole, in %.

    NaN where one is missing, the whole is not positive, or the part is negative or more than the whole: such figures do
    not belong together, and no share follows from them.
    """
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.where((part >= 0) & (part <= whole), 100 * ratio(part, whole), np.nan)
