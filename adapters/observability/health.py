"""`/healthz` (the gateway is alive) and `/readyz` (it can take a generation)."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field


class Part(BaseModel):
    """One thing that a generation needs."""

    ready: bool
    problem: str | None = Field(None, description="What is missing; null when nothing is.")
    seconds: float = Field(description="For how long it has been so.")
    detail: dict[str, Any] = Field(default_factory=dict, description="What else is known of it.")


class Readiness(BaseModel):
    """Whether a generation can be taken, part by part."""

    ready: bool
    parts: dict[str, Part]


class Alive(BaseModel):
    """The gateway answers."""

    status: str = "alive"


def routes(parts: dict[str, Callable[[], Part]]) -> APIRouter:
    """The routes; each part is asked anew at each call."""
    router = APIRouter(tags=["Operation"])

    @router.get("/healthz", summary="Whether the gateway is alive")
    async def healthz() -> Alive:
        return Alive()

    @router.get(
        "/readyz",
        summary="Whether a generation can be taken, and what is missing",
        responses={503: {"model": Readiness, "description": "Something is missing."}},
    )
    async def readyz(response: Response) -> Readiness:
        found = {name: look() for name, look in parts.items()}
        ready = all(part.ready for part in found.values())
        response.status_code = 200 if ready else 503
        return Readiness(ready=ready, parts=found)

    return router
