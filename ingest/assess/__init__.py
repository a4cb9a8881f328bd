"""The assessment of observations: how far each can be trusted, and why not. See docs/reference/assessment.md."""

from ingest.assess.assessor import Assessed, Assessor, Columns
from ingest.assess.clock import ClockEstimate, ThingClocks

__all__ = ["Assessed", "Assessor", "ClockEstimate", "Columns", "ThingClocks"]
