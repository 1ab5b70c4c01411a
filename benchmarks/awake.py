"""Keeps a core from idling, at a cost to nobody: in a virtual machine, waking an idle core takes longer than a relay does."""

import os
from pathlib import Path

_GROUP = Path("/proc/self/autogroup")

if __name__ == "__main__":
    # Idle priority alone holds only within the kernel's group of this session: elsewhere processes would starve.
    os.setsid()
    if _GROUP.exists():
        _GROUP.write_text("19")
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while True:
        pass
