"""Requests by the ten thousand that nobody would write (R16): none makes the gateway fail."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance import generated
from tests.overload.stand import stand

_PHASES = "examples,coverage,fuzzing,stateful"
_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """What came of them."""

    cases: int
    surprises: list[str]
    """What Schemathesis said of each door that did not answer as it documents."""
    troubles: list[str]
    """Lines of the gateway's log that tell of a fault of its own."""

    def describe(self) -> str:
        """As the document shows it."""
        said = "\n".join([*self.surprises, *self.troubles[:20]])
        return f"{self.cases} requests, {len(self.surprises)} doors surprised, {len(self.troubles)} faults\n{said}"


def measure(examples: int, seed: int = 1) -> Report:
    """Send up to so many of each kind to each operation of both doors."""
    cases, surprises = 0, []
    with stand() as parts, tempfile.TemporaryDirectory() as folder:
        for door in generated.DOORS:
            run = generated.send(
                parts.gateway.url,
                door,
                Path(folder),
                examples=examples,
                seed=seed,
                timeout=_SECONDS,
                phases=_PHASES,
            )
            cases += sum(map(int, re.findall(r"(\d+) generated", run.stdout)))
            if run.returncode:
                surprises.append(run.stdout[-6000:] + run.stderr[-1000:])
        lines = parts.gateway.log_text.splitlines()
    return Report(
        cases=cases,
        surprises=surprises,
        troubles=[line for line in lines if "Traceback" in line or "crash" in line],
    )
