"""Looking at this machine: what it has, what would run on it and why, and what would fail."""

import asyncio
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import asyncpg

from serving import gateway, postgres, router, stack
from serving.engine import hardware, models, prepare, profile
from serving.engine.hardware import Hardware
from serving.engine.models import Model
from serving.engine.share import Share
from serving.errors import CannotRun, HostError
from serving.readiness import is_well
from serving.settings import Settings

GIB = 2**30
CUDA_13_DRIVER = 580  # the first driver series that runs the CUDA version vLLM 0.32 is built for
DATABASE_SECONDS = 5.0

Verdict = Literal["ok", "note", "fail"]
MARKS: dict[Verdict, tuple[str, str]] = {"ok": ("✓", "green"), "note": ("·", "yellow"), "fail": ("✗", "red")}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at; `fail` means that `zephyr up` would not work."""

    subject: str
    verdict: Verdict
    text: str

    @property
    def fails(self) -> bool:
        return self.verdict == "fail"

    @property
    def style(self) -> str:
        return MARKS[self.verdict][1]

    @property
    def line(self) -> str:
        return f"{MARKS[self.verdict][0]} {self.subject:<12} {self.text}"

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def examine(settings: Settings) -> list[Finding]:
    """Look at everything that `zephyr up` would need with these settings."""
    machine = hardware.look()
    findings = [look_at_python(), *look_at_machine(machine), look_at_home(settings), look_at_port(settings)]
    findings += [look_at_database(settings), *look_at_gateway(settings, quick=False)]
    if settings.engine_url is not None:
        return [*findings, look_at_engine_elsewhere(settings.engine_url)]
    findings += [look_at_engine_environment(settings), *look_at_model(settings, machine)]
    return findings if settings.replicas == 1 else [*findings, look_at_router(settings)]


def refuse_what_cannot_run(settings: Settings) -> None:
    """Return only if nothing speaks against a start that can be seen before anything is started.

    Raises:
        CannotRun: naming each variable that has to change.
    """
    findings = [look_at_port(settings), *look_at_gateway(settings, quick=True)]
    if settings.engine_url is None:
        findings += look_at_choice(settings)
    if failures := [finding.text for finding in findings if finding.fails]:
        raise CannotRun("\n".join(failures))


def ok(subject: str, text: str) -> Finding:
    return Finding(subject=subject, verdict="ok", text=text)


def note(subject: str, text: str) -> Finding:
    return Finding(subject=subject, verdict="note", text=text)


def fail(subject: str, text: str) -> Finding:
    return Finding(subject=subject, verdict="fail", text=text)


def look_at_python() -> Finding:
    return ok("python", f"{sys.version.split()[0]} in {sys.prefix}")


def look_at_machine(machine: Hardware) -> Iterator[Finding]:
    if machine.gpus:
        listed = ", ".join(f"{gpu.name} with {gpu.memory_mib // 1024} GiB" for gpu in machine.gpus)
        yield ok("gpu", listed)
        yield look_at_driver(machine.driver or "")
    else:
        yield note("gpu", f"no NVIDIA GPU ({machine.gpu_problem or 'none found'})")
    flags = ", ".join(flag for flag in hardware.INTERESTING_FLAGS if flag in machine.flags) or "no AVX2"
    yield ok("processor", f"{machine.cpu or 'unknown'}; {machine.cores} cores to use; {flags}")
    yield ok("memory", f"{machine.memory_free_bytes / GIB:.1f} of {machine.memory_bytes / GIB:.1f} GiB free")


def look_at_gateway(settings: Settings, *, quick: bool) -> Iterator[Finding]:
    """What the gateway finds itself: only it knows its settings."""
    try:
        found = gateway.findings(settings, quick=quick)
    except HostError as error:
        yield fail("gateway", str(error))
        return
    for one in found:
        verdict = next(known for known in MARKS if known == one["verdict"])
        yield Finding(subject=one["subject"], verdict=verdict, text=one["text"])


def look_at_choice(settings: Settings) -> Iterator[Finding]:
    """Whether there is an engine at all, and the model that was asked for."""
    yield unless_refused(
        "engine", lambda: prepare.refuse_missing_engine(settings), str(settings.engine_python)
    )
    yield unless_refused("model", lambda: models.choose(settings, hardware.look()), "chosen")


def look_at_driver(version: str) -> Finding:
    series = version.partition(".")[0]
    if series.isdigit() and int(series) < CUDA_13_DRIVER:
        return fail("driver", f"{version} is too old for vLLM's CUDA 13; {CUDA_13_DRIVER} or newer is needed")
    return ok("driver", version)


def look_at_home(settings: Settings) -> Finding:
    try:
        stack.make_home(settings)
        postgres.refuse_full_disk(settings.home)
    except HostError as error:
        return fail("home", str(error))
    return ok("home", f"{settings.home}, {shutil.disk_usage(settings.home).free / GIB:.1f} GiB free")


def look_at_port(settings: Settings) -> Finding:
    return unless_refused(
        "port",
        lambda: stack.refuse_taken_port(settings.host, settings.port),
        f"{settings.host}:{settings.port} is free",
    )


def look_at_database(settings: Settings) -> Finding:
    if settings.database_url is not None:
        return asyncio.run(look_at_database_elsewhere(settings.database_url.get_secret_value()))
    made = (settings.home / "postgres" / "data").exists()
    return unless_refused(
        "database",
        lambda: postgres.find_programs(settings.home / "postgres", postgres.OURSELVES),
        f"embedded PostgreSQL, {'its data is there' if made else 'to be made at the first start'}",
    )


async def look_at_database_elsewhere(url: str) -> Finding:
    """Errors are named by their kind only: their text may hold the password."""
    try:
        connection = await asyncpg.connect(url, timeout=DATABASE_SECONDS)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return fail("database", f"DATABASE_URL does not answer ({type(error).__name__})")
    try:
        version = connection.get_server_version()
    finally:
        await connection.close()
    return ok("database", f"DATABASE_URL answers: PostgreSQL {version.major}.{version.minor}")


def look_at_engine_elsewhere(url: str) -> Finding:
    if is_well(url, "/health"):
        return ok("engine", "ENGINE_URL answers that it is well")
    return fail("engine", "ENGINE_URL does not answer /health with 200")


def look_at_engine_environment(settings: Settings) -> Finding:
    folder = settings.engine_python.parent.parent
    packages = [*folder.glob("lib/python*/site-packages/vllm*.dist-info")]
    if not settings.engine_python.exists() or not packages:
        return fail("engine", f"no vLLM in {folder}; run ./run.sh, or set ZEPHYR_ENGINE_PYTHON or ENGINE_URL")
    return ok("engine", f"{packages[0].name.removesuffix('.dist-info')} in {folder}")


def look_at_model(settings: Settings, machine: Hardware) -> Iterator[Finding]:
    try:
        machine = Share(of=settings.replicas).part(machine)
        model, why = models.choose(settings, machine)
        folder = model_folder(settings, model)
        chosen = profile.plan(machine, settings, model, folder or Path(model.source))
    except HostError as error:
        yield fail("model", str(error))
        return
    yield ok("model", f"{model.name}: {why}")
    yield look_at_files(model, folder)
    yield ok("profile", f"{'; '.join(chosen.reasons)}: {shlex.join(chosen.arguments)}")


def look_at_router(settings: Settings) -> Finding:
    if settings.router_python.exists():
        return ok("router", f"vllm-router in {settings.router_python.parents[1]}")
    if settings.router_python == router.MADE:
        return note("router", "its environment is to be made at the first start")
    return fail("router", f"there is no {settings.router_python}: set ZEPHYR_ROUTER_PYTHON")


def look_at_files(model: Model, folder: Path | None) -> Finding:
    if folder is not None:
        return ok("model files", str(folder))
    how = "converted" if model.origin == "package" else "fetched from the hub"
    return note("model files", f"to be {how} at the first start")


def model_folder(settings: Settings, model: Model) -> Path | None:
    """Where the model's files are, if they are there already."""
    if model.origin == "folder":
        return Path(model.source)
    if model.origin == "hub":
        return prepare.fetched_folder(settings, model)
    folder = prepare.converted_folder(settings, model)
    return folder if folder.exists() else None


def unless_refused(subject: str, look: Callable[[], object], text: str) -> Finding:
    try:
        look()
    except HostError as error:
        return fail(subject, str(error))
    return ok(subject, text)
