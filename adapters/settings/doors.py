"""What the endpoints and the statistics allow themselves."""

from pathlib import Path

from pydantic import Field

from adapters.settings.group import Group


class ResponseSettings(Group):
    """Responses that are made in the background or in a conversation."""

    max_background_responses: int = Field(
        64, ge=1, description="Background responses one gateway process makes at once."
    )
    response_lease: float = Field(
        30.0,
        ge=1,
        description="Seconds after which an open response whose gateway is gone counts as failed, and its conversation "
        "is free again.",
    )


class CodeSettings(Group):
    """Formatting of the code that clients send to be documented."""

    black_timeout: float = Field(5.0, gt=0, description="Seconds black may take for one piece of code.")
    black_max_bytes: int = Field(
        64 * 2**10, ge=1, description="Largest piece of code that is given to black, in bytes."
    )
    max_lines: int = Field(256, ge=1, description="Most requests in one JSONL body.")
    lines_at_once: int = Field(16, ge=1, description="Requests of one JSONL body that run at the same time.")


class ZephyrSettings(Group):
    """The /zephyr endpoints."""

    endpoints_dir: Path | None = Field(
        None, description="Folder with endpoint files (*.toml) beside the ones that are shipped."
    )


class GpuSettings(Group):
    """The live statistics."""

    gpu_interval: float = Field(
        1.0, ge=0.1, le=60, description="Seconds between two messages of the statistics websocket."
    )
    gpu_max_sockets: int = Field(256, ge=1, description="Statistics websockets open at once.")
