"""Rounding that gives the same answer whatever order a sum was taken in.

Two sums of the same numbers in another order differ in their last bits. Where the true value lies exactly on a tie
(a mean of 45.5 has to become 46), those bits would decide. So everything within `_GUARD` of a tie counts as the tie,
and ties go up: far above the noise (1e-12 relative), far below what any sensor resolves.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_GUARD = 1e-6  # of a unit of the last digit kept

Number = TypeVar("Number", float, NDArray[np.float64])


def round_half_up(value: Number, decimals: int = 0) -> Number:
    """Round to `decimals`, ties towards plus infinity, as NOM-172-SEMARNAT-2023 asks for and people expect.

    >>> round_half_up(45.5), round_half_up(0.0585, 3), round_half_up(4529.999999999999 / 60, 1)
    (46.0, 0.059, 75.5)
    """
    scale = 10.0**decimals
    rounded: Number = np.floor(value * scale + 0.5 + _GUARD) / scale
    return rounded if isinstance(value, np.ndarray) else float(rounded)
