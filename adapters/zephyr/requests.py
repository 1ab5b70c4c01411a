"""What a request to an endpoint may hold, and how it reads in the model's templates."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic import Field as Bounds

from adapters.errors import InvalidRequest
from adapters.settings import BadSettings
from adapters.zephyr.endpoint import Endpoint, Field
from adapters.zephyr.prompts import placeholders

_TYPES: dict[str, type] = {"string": str, "integer": int, "number": float, "boolean": bool}


class Asked(BaseModel):
    """The fields that every endpoint has. Unknown ones are ignored, as the original did."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    max_new_tokens: int = Bounds(256, ge=1, le=10_000_000, description="Most tokens to generate.")
    do_sample: bool = Bounds(
        True,
        description="Sample; false is greedy decoding, where temperature, top_k and top_p have no effect.",
    )
    temperature: float = Bounds(0.7, ge=0, le=2, description="Higher is more random; 0 is greedy decoding.")
    top_k: int = Bounds(
        50, ge=0, le=1_000_000, description="Sample from so many likeliest tokens; 0 is from all."
    )
    top_p: float = Bounds(
        0.95,
        ge=0,
        le=1,
        description="Sample from the likeliest tokens of this total probability; 0 is greedy.",
    )
    stream: bool = Bounds(False, description="Answer with server-sent events, as the text is written.")
    conversation: str | None = Bounds(
        None,
        max_length=64,
        description="The `conversation` of an earlier answer, to continue it; or `chatcmpl-` and the `id` of an answer, to "
        "go on from that one, whatever was said after it.",
    )

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return not self.do_sample or self.temperature == 0 or self.top_p == 0


def request_model(endpoint: Endpoint) -> type[Asked]:
    """The model of an endpoint's requests: its own fields and those that every endpoint has.

    Raises:
        BadSettings: the endpoint's example is not such a request.
    """
    name = "".join(part.capitalize() for part in endpoint.path.replace("/", "-").split("-"))
    fields: dict[str, Any] = {name: _annotated(field) for name, field in endpoint.fields.items()}
    model = create_model(f"{name}Request", __base__=Asked, **fields)
    try:
        validate(model, endpoint.example)
    except InvalidRequest as error:
        raise BadSettings(f"{endpoint.path}: example: {error.message}") from None
    return model


def validate(model: type[Asked], fields: object) -> Asked:
    """Check the fields of one request.

    Raises:
        InvalidRequest: naming the field.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        names = [str(problem["loc"][0]) if problem["loc"] else None for problem in problems]
        told = [f"{name or 'body'}: {problem['msg']}" for name, problem in zip(names, problems, strict=True)]
        raise InvalidRequest("; ".join(told), param=names[0]) from None


def texts(endpoint: Endpoint, asked: Asked) -> dict[str, str]:
    """The endpoint's own fields as its templates show them."""
    return {name: _text(field, getattr(asked, name)) for name, field in endpoint.fields.items()}


def says_who_the_model_is(endpoint: Endpoint, asked: Asked) -> bool:
    """Whether the request itself gives something that the endpoint's system template shows."""
    given = {name for name in asked.model_fields_set if getattr(asked, name) is not None}
    return bool(placeholders(endpoint.system) & given)


def _annotated(field: Field) -> tuple[Any, Any]:
    bounds = Bounds(ge=field.minimum, le=field.maximum, description=field.description)
    if field.default is None:
        return Annotated[_TYPES[field.type], bounds], ...
    return Annotated[_TYPES[field.type] | None, bounds], field.default


def _text(field: Field, value: object) -> str:
    if value is None:
        value = field.default
    if field.says is not None:
        return field.says.true if value else field.says.false
    return str(value)
