"""One shape for every error of the API: application/problem+json (RFC 9457)."""

from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from dashboard.security import add_security_headers
from pulso.errors import AppError, StorageError, UnknownDatastream, UnknownKpi, UnknownThing, UnknownZone

log = structlog.get_logger()

_UNKNOWN = (UnknownZone, UnknownThing, UnknownDatastream, UnknownKpi)


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(description="The parameter.", examples=["end"])
    message: str = Field(description="What is wrong with it.", examples=["end has to be after start"])


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no KPI 'speed' in city pack 'cdmx'"])
    instance: str = Field(description="Path of the request.", examples=["/api/v1/kpis/speed"])
    errors: list[Fault] = Field(default_factory=list, description="Every fault of the request, for status 422.")


class BadRequest(AppError):
    """The request cannot be answered."""

    def __init__(self, where: str, message: str) -> None:
        self.fault = Fault(where=where, message=message)
        super().__init__(message)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers with problems of these statuses."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "model": Problem, "content": content} for status in statuses
    }


def problem(request: Request, status: int, detail: str, errors: list[Fault] | None = None) -> JSONResponse:
    """The answer for one problem."""
    title = HTTPStatus(status).phrase
    body = Problem(title=title, status=status, detail=detail, instance=request.url.path, errors=errors or [])
    return JSONResponse(body.model_dump(), status_code=status, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Translate every error into a problem."""
    for unknown in _UNKNOWN:
        app.add_exception_handler(unknown, _not_found)
    app.add_exception_handler(BadRequest, _bad_request)
    app.add_exception_handler(StorageError, _unavailable)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)


async def _not_found(request: Request, error: Exception) -> JSONResponse:
    return problem(request, 404, str(error))


async def _bad_request(request: Request, error: Exception) -> JSONResponse:
    fault = error.fault if isinstance(error, BadRequest) else Fault(where="", message=str(error))
    return problem(request, 422, f"{fault.where}: {fault.message}", [fault])


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    log.warning("request_without_database", path=request.url.path, error=str(error))
    return problem(request, 503, "the database is not reachable; try again")


async def _not_valid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 (how it was registered)
    faults = [Fault(where=".".join(map(str, fault["loc"][1:])), message=fault["msg"]) for fault in error.errors()]
    return problem(request, 422, "; ".join(f"{fault.where}: {fault.message}" for fault in faults), faults)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 (how it was registered)
    answer = problem(request, error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _bug(request: Request, error: Exception) -> JSONResponse:
    log.error("request_failed", path=request.url.path, exc_info=error)
    answer = problem(request, 500, "the server made a mistake; its log says more")
    add_security_headers(answer.headers, request.url.path)  # Starlette answers bugs outside of all middleware
    return answer
