"""A tiny process that outlives the host by a moment: if the host vanishes, even by kill -9, it ends what the host started.

It reads lines from its standard input: `+GROUP SIGNAL` to watch a process group, `-GROUP` to forget it. The end of the
input means that the host is gone. Run as a script on a bare Python, so it imports nothing of ours.
"""

import os
import signal
import sys
import time

GRACE_SECONDS = 8.0


def watch() -> dict[int, int]:
    groups: dict[int, int] = {}
    for line in sys.stdin:
        group, *how = line[1:].split()
        if line.startswith("+"):
            groups[int(group)] = int(how[0])
        else:
            groups.pop(int(group), None)
    return groups


def end(groups: dict[int, int]) -> None:
    for group, stop_signal in groups.items():
        send(group, stop_signal)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and any(send(group, 0) for group in groups):
        time.sleep(0.05)
    for group in groups:
        send(group, signal.SIGKILL)


def send(group: int, number: int) -> bool:
    """Signal a whole group; false when nothing is left of it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    end(watch())
