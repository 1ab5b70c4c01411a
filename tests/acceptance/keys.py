"""A gateway that needs keys, and those who have some."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from tests.acceptance.gateway import ROOT, Answer, Gateway


def command(url: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `zephyr keys` on this database."""
    return subprocess.run(
        [sys.executable, "-m", "adapters", "keys", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": url} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def created(url: str, *arguments: str) -> dict[str, Any]:
    """A key that the command has made."""
    done = command(url, "create", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Somebody with a key."""

    gateway: Gateway
    id: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        """What tells who it is."""
        return {"authorization": f"Bearer {self.key}"}

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, **headers: str) -> Answer:
        return self.gateway.request(method, path, body, self.headers | headers)

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, body: dict[str, Any], **headers: str) -> Answer:
        return self.ask("POST", path, body, **headers)

    def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Ask the second listener."""
        return self.gateway.admin(method, path, body, **self.headers)

    def gives(self, tenant: str, **order: object) -> "Holder":
        """A key that this administrator makes."""
        answer = self.admin("POST", "/admin/keys", {"tenant": tenant, **order})
        assert answer.status == 201, answer.body
        return Holder(gateway=self.gateway, id=answer.json["id"], key=answer.json["key"])
