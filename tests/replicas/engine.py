"""A scripted engine as a process: `python -m tests.replicas.engine ADDRESS PORT`. Its answers begin with its address."""

import sys
import time

from tests.fakes.answers import Json
from tests.fakes.engine import Script, ScriptedEngine


class Named(ScriptedEngine):
    """Says who it is."""

    def script_for(self, body: Json) -> Script:
        return Script(pieces=(self.host, *(f" word{number}" for number in range(10))), pause=0.01)


def main(address: str, port: str) -> None:
    with Named(host=address, port=int(port)):
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
