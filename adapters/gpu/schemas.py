"""The statistics as they are sent."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from adapters.gpu.nvml import Gpu, GpuReading


class GpuStats(BaseModel):
    """One GPU. The names and units up to `memoryTotal` are those of the original; null is what it does not tell."""

    id: int
    name: str
    driver_version: str
    load: float | None = Field(description="Percent.")
    memoryUsed: int | None = Field(description="MiB.")  # noqa: N815
    memoryFree: int | None = Field(description="MiB.")  # noqa: N815
    memoryTotal: int | None = Field(description="MiB.")  # noqa: N815
    temperature: int | None = Field(description="Degrees Celsius.")
    power: float | None = Field(description="Watts.")

    @classmethod
    def of(cls, gpu: Gpu) -> Self:
        """The same as the driver says it."""
        return cls(
            id=gpu.index,
            name=gpu.name,
            driver_version=gpu.driver_version,
            load=gpu.load_percent,
            memoryUsed=gpu.memory_used_mib,
            memoryFree=gpu.memory_free_mib,
            memoryTotal=gpu.memory_total_mib,
            temperature=gpu.temperature_celsius,
            power=gpu.power_watts,
        )


class EngineStats(BaseModel):
    """The engine's work; null is what it does not tell."""

    ready: bool
    problem: str | None = Field(description="Why it is not ready.")
    running: int | None = Field(description="Requests that tokens are generated for.")
    waiting: int | None = Field(description="Requests in the engine's queue.")
    kv_cache_usage: float | None = Field(description="Share of the KV cache in use, 0 to 1.")
    prompt_tokens_per_second: float | None
    generation_tokens_per_second: float | None
    time_to_first_token_seconds: float | None = Field(
        description="Mean of the requests whose first token came since the last message; null where there were none."
    )


class Stats(BaseModel):
    """One message of the statistics."""

    model_config = ConfigDict(frozen=True)

    gpus: list[GpuStats]
    gpu_problem: str | None = Field(description="Why there are no GPUs in the list.")
    engine: EngineStats

    @classmethod
    def of(cls, reading: GpuReading, engine: EngineStats) -> Self:
        """One message of two readings."""
        return cls(
            gpus=[GpuStats.of(gpu) for gpu in reading.gpus], gpu_problem=reading.problem, engine=engine
        )
