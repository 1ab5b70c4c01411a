"""Hosts on one machine: each a network namespace with an address of its own and a cable that can be pulled. Needs root."""

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

_SUBNET = f"10.{100 + os.getpid() // 250 % 100}.{os.getpid() % 250}"  # so that two of these do not meet
_OURSELVES = 254


class NoNetwork(Exception):
    """This machine does not let us make hosts; the message says why."""


class Network:
    """A switch and the hosts at it. This process is at it, too, as one more host."""

    def __init__(self) -> None:
        self._switch = f"zr{os.getpid()}"
        self._names: list[str] = []

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise NoNetwork("network namespaces need root")
        try:
            _ip("netns", "add", self._switch)
        except (OSError, subprocess.CalledProcessError) as error:
            raise NoNetwork(f"network namespaces cannot be made here ({error})") from None
        try:
            _ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
            _ip("-n", self._switch, "link", "set", "bridge", "up")
            self._cable(_OURSELVES, None)
        except (OSError, subprocess.CalledProcessError) as error:
            self._remove()
            raise NoNetwork(f"this machine has no bridges or cables between namespaces ({error})") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def host(self) -> "Host":
        """Another host."""
        number = len(self._names) + 2
        name = f"{self._switch}h{number}"
        _ip("netns", "add", name)
        self._names.append(name)
        _ip("-n", name, "link", "set", "lo", "up")
        self._cable(number, name)
        return Host(name, self._switch, number)

    def _cable(self, number: int, name: str | None) -> None:
        """Connect a host to the switch; without a name, ourselves."""
        far, device = f"port{number}", self._switch if name is None else "eth0"
        _ip("-n", self._switch, "link", "add", far, "type", "veth", "peer", "name", device)
        _ip("-n", self._switch, "link", "set", device, "netns", name or str(os.getpid()))
        _ip("-n", self._switch, "link", "set", far, "master", "bridge", "up")
        inside = () if name is None else ("-n", name)
        _ip(*inside, "addr", "add", f"{_SUBNET}.{number}/24", "dev", device)
        _ip(*inside, "link", "set", device, "up")

    def _remove(self) -> None:
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", self._switch)
        for name in (*self._names, self._switch):
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", name)


class Host:
    """One host."""

    def __init__(self, name: str, switch: str, number: int) -> None:
        self.address = f"{_SUBNET}.{number}"
        self._name = name
        self._switch = switch
        self._port = f"port{number}"

    def command(self, argv: Sequence[str]) -> list[str]:
        """What runs a program on it."""
        return ["ip", "netns", "exec", self._name, *argv]

    def unplug(self) -> None:
        """Pull its cable: what is sent is lost, and nobody is told."""
        _ip("-n", self._switch, "link", "set", self._port, "down")

    def plug(self) -> None:
        """Put it in again."""
        _ip("-n", self._switch, "link", "set", self._port, "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)  # wherever the system has it
