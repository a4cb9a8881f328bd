"""What an answer carries when something goes wrong."""

import httpx
import pytest
from fastapi import FastAPI

from dashboard import problems
from dashboard.api import system
from dashboard.server import compose
from pulso.settings import CitySettings, DatabaseSettings


async def test_a_bug_is_a_problem_that_tells_nothing_and_carries_the_security_headers() -> None:
    app = FastAPI()
    problems.install(app)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("postgresql://pulso:secret@db")

    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/broken")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_one_live_stream_too_many_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.live.hub.MOST_VIEWERS", 0)
    app = FastAPI()
    app.state.services = compose(CitySettings(), DatabaseSettings())
    problems.install(app)
    app.include_router(system.router, prefix="/api")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
        answer = await client.get("/api/live")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["title"] == "Service Unavailable"
