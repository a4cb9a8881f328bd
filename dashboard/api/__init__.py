"""The HTTP API under /api/v1."""

from dashboard.api.routes import API_PREFIX, api_router

__all__ = ["API_PREFIX", "api_router"]
