"""`/v1/models`: what the engine serves, by its true name."""

from typing import Any

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from adapters.engine.errors import EngineLoading
from adapters.engine.watch import EngineWatch, ServedModel

_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such model.", "content": _ERROR},
    503: {"description": "The engine is loading; `Retry-After` says when to try again.", "content": _ERROR},
}


class Model(BaseModel):
    """A model, as OpenAI's API describes one."""

    id: str = Field(examples=["smollm2-135m-instruct"])
    object: str = "model"
    created: int = Field(description="Unix time of when the engine began to serve it.")
    owned_by: str
    max_model_len: int | None = Field(None, description="Context length in tokens.")


class Models(BaseModel):
    """All models that are served."""

    object: str = "list"
    data: list[Model]


def routes(watch: EngineWatch) -> APIRouter:
    """The routes, over what the gateway knows of the engine."""
    router = APIRouter(prefix="/v1/models", tags=["OpenAI"], responses=_REFUSALS)

    @router.get("", summary="List the models that are served")
    async def list_models() -> Models:
        if not watch.state.ready:
            raise EngineLoading
        return Models(data=[_model(model) for model in watch.state.models])

    # The SDK percent-encodes the slash of names such as org/model: hence the path parameter.
    @router.get("/{model:path}", summary="Describe one model, by its name or by the alias zephyr-7b-beta")
    async def retrieve_model(model: str) -> Model:
        name = watch.require_model(model)
        return next(_model(served) for served in watch.state.models if served.id == name)

    return router


def _model(served: ServedModel) -> Model:
    return Model.model_validate(msgspec.to_builtins(served))
