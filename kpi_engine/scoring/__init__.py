"""How a city scores itself: values to scores with fixed goalposts, and scores up a tree.

Pure functions and frozen models; explained in docs/reference/scoring.md. The method is our own design unless a
docstring names another source.
"""

from kpi_engine.scoring.goalposts import Goalposts, GoalpostSet, load_goalposts
from kpi_engine.scoring.normalise import KpiRule, Measured, Rule, Rules, load_rules, score_kpi, score_kpis
from kpi_engine.scoring.plausibility import Finding, plausibility
from kpi_engine.scoring.priority_areas import priority_area_scores
from kpi_engine.scoring.quality import CarriedValue, QualityLabel, carry_forward, quality_grade
from kpi_engine.scoring.robustness import Robustness, robustness
from kpi_engine.scoring.roll_up import Node, Place, WeightSet, load_weights, roll_up
from kpi_engine.scoring.score import Contribution, Level, Score, State, level_of
from kpi_engine.scoring.smoothing import smooth

__all__ = [
    "CarriedValue",
    "Contribution",
    "Finding",
    "GoalpostSet",
    "Goalposts",
    "KpiRule",
    "Level",
    "Measured",
    "Node",
    "Place",
    "QualityLabel",
    "Robustness",
    "Rule",
    "Rules",
    "Score",
    "State",
    "WeightSet",
    "carry_forward",
    "level_of",
    "load_goalposts",
    "load_rules",
    "load_weights",
    "plausibility",
    "priority_area_scores",
    "quality_grade",
    "robustness",
    "roll_up",
    "score_kpi",
    "score_kpis",
    "smooth",
]
