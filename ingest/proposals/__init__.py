"""A mapping proposed for a payload that nobody understands."""
