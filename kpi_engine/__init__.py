"""The KPI engine: observations to panes, panes to KPI values; live and replay by the same formulas."""
