"""What becomes of a computed value, given what is stored: nothing, a refreshed row, or a revision."""

from dataclasses import replace

from kpi_engine.evaluate import Computed
from pulso.model import KpiStatus, KpiValue


def revise(computed: Computed, stored: KpiValue | None, *, is_final: bool) -> KpiValue | None:
    """The row to write, or None if there is no news.

    A window is first written when it has an observation, or, if it is over already, when it has a value: history that
    comes in piece by piece begins with what it amounts to. While provisional, a row is refreshed in place; a final one
    stays, and a different value, band or coverage is a revision of its own; later data that leave those three as they
    are only tell how far the value reaches.
    """
    if stored is None:
        status = KpiStatus.FINAL if is_final else KpiStatus.PROVISIONAL
        is_news = computed.observed_until is not None and not (is_final and computed.value is None)
        return _row(computed, status, 0) if is_news else None
    if stored.status is KpiStatus.PROVISIONAL:
        status = KpiStatus.FINAL if is_final else KpiStatus.PROVISIONAL
        refreshed = _row(computed, status, stored.revision)
        return None if refreshed == stored else refreshed
    if same_result(computed, stored):
        reaches_further = computed.observed_until != stored.observed_until
        return replace(stored, observed_until=computed.observed_until) if reaches_further else None
    return _row(computed, KpiStatus.REVISED, stored.revision + 1)


def same_result(computed: Computed, stored: KpiValue) -> bool:
    """Whether a stored value says what was computed."""
    return (computed.value, computed.band, computed.coverage) == (stored.value, stored.band, stored.coverage)


def _row(computed: Computed, status: KpiStatus, revision: int) -> KpiValue:
    return KpiValue(
        kpi_id=computed.kpi_id,
        zone_id=computed.zone_id,
        window=computed.window,
        value=computed.value,
        band=computed.band,
        coverage=computed.coverage,
        status=status,
        revision=revision,
        observed_until=computed.observed_until,
        version=computed.version,
        detail=computed.detail,
    )
