"""The scripted engine as a process with vLLM's command line, on a unix socket. Its answers begin with its socket's name.

To a text that begins with "slow" it gives twenty words, one after the other.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.fakes import answers
from tests.fakes.answers import Json
from tests.fakes.engine import Script, ScriptedEngine


class Named(ScriptedEngine):
    """Says who it is."""

    def script_for(self, body: Json) -> Script:
        assert self.socket_path is not None
        name = self.socket_path.name
        if answers.last_user_text(body).startswith("slow"):
            return Script(pieces=(name, *(f" word{number}" for number in range(20))), pause=0.04)
        return Script(pieces=(name, " ", "says", "."))


def main(arguments: list[str]) -> None:
    def value(flag: str) -> str:
        return arguments[arguments.index(flag) + 1]

    print("INFO non-default args: {}", flush=True)
    with Named(Path(value("--uds")), model=value("--served-model-name")):
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main(sys.argv[1:])
