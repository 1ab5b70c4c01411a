"""What the gateway knows of the engine: whether it is up, what it serves, and which texts steer its model."""

import asyncio
import re
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import structlog

from adapters.engine.client import EngineClient
from adapters.engine.errors import (
    EngineHangs,
    EngineLoading,
    EngineTimeout,
    EngineUnavailable,
    ModelNotFound,
)
from adapters.engine.pulse import Pulse
from adapters.errors import GatewayError
from adapters.settings import EngineSettings

_log = structlog.get_logger(__name__)
_TIMEOUTS_BEFORE_LOST = 5  # a busy engine may answer a probe late; it is lost when it keeps silent
_MARKER_IN_TEMPLATE = re.compile(r"<[|/]?[A-Za-z_|][^<>\s'\"{}]{0,40}>|\[/?[A-Z_]{2,20}\]")
_SPECIAL_TOKEN_LISTS = {"additional_special_tokens", "extra_special_tokens", "added_tokens_decoder"}


class ServedModel(msgspec.Struct, frozen=True):
    """A model as the engine lists it, without the paths that vLLM adds."""

    id: str
    created: int = 0
    owned_by: str = "vllm"
    max_model_len: int | None = None


@dataclass(frozen=True, slots=True)
class Replicas:
    """The engines behind a router, as it counts them."""

    ready: int
    all: int


class _RouterReadiness(msgspec.Struct):
    healthy_workers: int
    total_workers: int


class _ModelList(msgspec.Struct):
    data: list[ServedModel]


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineState:
    """One look at the engine."""

    ready: bool = False
    models: tuple[ServedModel, ...] = ()
    markers: tuple[str, ...] | None = None
    """Texts that the served model's tokenizer or template gives a meaning to; None where it does not tell."""
    since: float
    """`time.monotonic()` of when the engine became ready, or was lost."""
    problem: str | None = "not reached yet"
    hangs: bool = False
    """Whether it is there and says it is well, and does not work."""
    replicas: Replicas | None = None
    """None where there is no router that counts them."""

    @property
    def told(self) -> str | None:
        """What is wrong, in a sentence; with several engines that may be something while others answer."""
        if self.problem:
            return f"The engine {self.problem}."
        if self.replicas and self.replicas.ready < self.replicas.all:
            return f"{self.replicas.ready} of {self.replicas.all} engines are ready."
        return None


class EngineWatch:
    """Looks at the engine about once a second, for as long as the gateway runs."""

    def __init__(self, client: EngineClient, settings: EngineSettings) -> None:
        self._client = client
        self._settings = settings
        self._task: asyncio.Task[None] | None = None
        self._timeouts = 0
        self._pulse = Pulse(client, settings)
        self._model = ""
        self.lost = {"gone": 0, "hangs": 0}
        """How often an engine that was ready was lost, and how."""
        self.state = EngineState(since=time.monotonic())

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._look_for_ever(), name="engine watch")

    async def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._pulse.close()

    @property
    def alive(self) -> bool:
        """Whether the watch itself is running."""
        return self._task is not None and not self._task.done()

    @property
    def ready(self) -> bool:
        """Whether the engine takes generations, as far as is known now."""
        return self.state.ready and self.alive

    @property
    def silent_seconds(self) -> float:
        """How long ago the engine last gave a sign of work; 0 while it is away."""
        return self._pulse.silence if self.state.ready or self.state.hangs else 0.0

    def require_model(self, name: str | None) -> str:
        """The engine's own name for the model that the client calls `name`.

        Raises:
            EngineLoading: the engine is not up.
            EngineHangs: it is, and does not work.
            ModelNotFound: it serves no such model.
        """
        models = self.state.models
        if not self.state.ready or not models:
            raise EngineHangs if self.state.hangs else EngineLoading
        if name is None or name == self._settings.engine_model_alias:
            return models[0].id
        if any(model.id == name for model in models):
            return name
        raise ModelNotFound(param="model")

    def context(self, model: str) -> int | None:
        """How many tokens of prompt and answer together the model takes, by the engine's own name for it."""
        return next((one.max_model_len for one in self.state.models if one.id == model), None)

    async def _look_for_ever(self) -> None:
        while True:
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001  # the watch outlives whatever the engine answers
                _log.exception(
                    "the engine watch stumbled", event_key="engine_watch_error", error=type(error).__name__
                )
                self._lost("answered something that is not vLLM's API")
            await asyncio.sleep(self._settings.engine_probe_seconds)

    async def _look(self) -> None:
        problem = await self._problem()
        if problem is not None:
            self._lost(problem)
        elif self.state.ready or self.state.hangs:
            await self._feel()
        else:
            await self._meet()

    async def _feel(self) -> None:
        """Ask whether an engine that says it is well works."""
        silence = await self._pulse.look(self._model)
        if silence >= self._settings.engine_hang_seconds:
            self._hangs(silence)
        elif self.state.hangs:
            await self._meet()

    async def _problem(self) -> str | None:
        try:
            status, body = await self._client.get(self._settings.engine_health_path)
        except EngineTimeout:
            self._timeouts += 1
            patient = self.state.ready and self._timeouts < _TIMEOUTS_BEFORE_LOST
            return None if patient else "does not answer"
        except EngineUnavailable:
            return "cannot be reached"
        except GatewayError:
            return "broke off"
        self._timeouts = 0
        self._count(body)
        return None if status == 200 else f"says it is unwell (HTTP {status})"

    def _count(self, body: bytes) -> None:
        """Take note of how many engines there are, where it is vllm-router that was asked (its `/readiness`)."""
        replicas = None
        if body.startswith(b"{"):
            with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                counted = msgspec.json.decode(body, type=_RouterReadiness)
                replicas = Replicas(counted.healthy_workers, counted.total_workers)
        if replicas != self.state.replicas:
            _log.info("engines counted", event_key="engines_counted", replicas=str(replicas))
            self.state = replace(self.state, replicas=replicas)

    async def _meet(self) -> None:
        """Ask an engine that has just come up what it serves."""
        status, body = await self._client.get("/v1/models")
        if status != 200:
            self._lost(f"does not list its models (HTTP {status})")
            return
        models = tuple(msgspec.json.decode(body, type=_ModelList).data)
        markers = await self._markers()
        self._model = models[0].id if models else ""
        self._pulse.begin()
        now = time.monotonic()
        self.state = EngineState(
            replicas=self.state.replicas, ready=True, models=models, markers=markers, since=now, problem=None
        )
        _log.info("the engine is up", event_key="engine_up", models=[model.id for model in models])

    async def _markers(self) -> tuple[str, ...] | None:
        # vLLM has this page only with --enable-tokenizer-info-endpoint. A page that tells none tells nothing.
        status, body = await self._client.get("/tokenizer_info")
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if status == 200:
                return markers_of(msgspec.json.decode(body, type=dict[str, Any])) or None
        return None

    def _hangs(self, silence: float) -> None:
        """It takes no new requests; those that wait for it are ended once they have waited as long as any may."""
        if not self.state.hangs:
            _log.error("the engine hangs", event_key="engine_hangs", silent_seconds=round(silence, 1))
            problem = "says it is well and does not work"
            self.lost["hangs"] += 1
            self.state = EngineState(
                replicas=self.state.replicas, since=time.monotonic(), problem=problem, hangs=True
            )
        if silence >= self._settings.engine_idle_timeout:
            self._client.stop_all(EngineTimeout())

    def _lost(self, problem: str) -> None:
        if self.state.ready:
            _log.warning("the engine is gone", event_key="engine_lost", problem=problem)
            self.lost["gone"] += 1
            self.state = EngineState(replicas=self.state.replicas, since=time.monotonic(), problem=problem)
        elif self.state.problem != problem or self.state.hangs:
            self.state = EngineState(replicas=self.state.replicas, since=self.state.since, problem=problem)


def markers_of(tokenizer: dict[str, Any]) -> tuple[str, ...]:
    """The texts with a meaning of their own in vLLM's `/tokenizer_info`: special tokens, template markers."""
    found: set[str] = set()
    for key, value in tokenizer.items():
        if key.endswith("_token") or key in _SPECIAL_TOKEN_LISTS:
            found.update(_strings(value))
        elif key == "chat_template":
            found.update(_MARKER_IN_TEMPLATE.findall(" ".join(_strings(value))))
    return tuple(sorted(marker for marker in found if marker.strip()))


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = [
            item["content"] if isinstance(item, dict) and "content" in item else item
            for item in value.values()
        ]
    return [text for item in value for text in _strings(item)] if isinstance(value, list) else []
