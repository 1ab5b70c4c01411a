"""Who listens where: read from the kernel, as a port scan from everywhere would see it."""

import ipaddress
from collections.abc import Iterable, Iterator
from pathlib import Path

_LISTENS = "0A"
Address = tuple[str, int]


def listening(processes: Iterable[int]) -> set[Address]:
    """The TCP addresses and ports on which these processes listen."""
    theirs = {socket for process in processes for socket in _sockets(process)}
    found: set[Address] = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENS and fields[9] in theirs:
                found.add(_address(fields[1]))
    return found


def family(process: int) -> list[int]:
    """A process and all that it has started."""
    threads = Path(f"/proc/{process}/task").iterdir()
    children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    return [process, *(one for child in children for one in family(child))]


def _sockets(process: int) -> Iterator[str]:
    for link in Path(f"/proc/{process}/fd").iterdir():
        try:
            name = link.readlink().name
        except FileNotFoundError:  # closed meanwhile
            continue
        if name.startswith("socket:["):
            yield name.removeprefix("socket:[").removesuffix("]")


def _address(text: str) -> Address:
    host, port = text.split(":")
    words = [bytes.fromhex(host[place : place + 8])[::-1] for place in range(0, len(host), 8)]
    return str(ipaddress.ip_address(b"".join(words))), int(port, 16)
