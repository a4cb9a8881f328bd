"""Formulas: pure functions over panes, registered by the name that definitions use."""

from kpi_engine.formulas import air, energy, traffic, waste
from kpi_engine.formulas.base import Formula, Outcome, Scope, formula, formulas

__all__ = ["Formula", "Outcome", "Scope", "air", "energy", "formula", "formulas", "traffic", "waste"]
