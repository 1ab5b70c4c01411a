"""Where traces go."""

from pydantic import Field, field_validator

from adapters.settings.group import Group, is_address


class TraceSettings(Group):
    """Traces: off unless a collector is named."""

    traces_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^/\s?#]+/[^\s?#]+$",
        description="Where traces are sent, by OTLP over HTTP: http://collector:4318/v1/traces. Without it there are none.",
    )
    traces_ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the requests that are traced, of those whose client does not say. One whose `traceparent` "
        "says is traced as it says.",
    )
    traces_queue_limit: int = Field(
        4096, ge=1, description="Spans that wait to be sent before more are dropped, and counted."
    )

    @field_validator("traces_endpoint")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if url is not None and not is_address(url):
            raise ValueError("give http://host:port/path, without user and password")
        return url
