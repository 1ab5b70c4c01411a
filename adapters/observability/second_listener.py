"""Asking the second listener of a gateway that runs on this machine: what its commands know of it."""

import http.client
import json

from adapters.settings import ServerSettings

_SECONDS = 5.0
_LARGEST_BYTES = 16 * 2**20


class NoGateway(Exception):
    """No gateway answers where the settings say that it listens, or not as this version does."""


class SecondListener:
    """Its figures; they need no key there."""

    def __init__(self, server: ServerSettings) -> None:
        """`server` are the settings of the second listener."""
        self._host = "127.0.0.1" if server.host in ("0.0.0.0", "::") else server.host
        self._port = server.port

    @property
    def address(self) -> str:
        """Where it is."""
        return f"{self._host}:{self._port}"

    def get(self, path: str) -> tuple[int, bytes]:
        """The status and the body of an answer.

        Raises:
            NoGateway: nothing answers.
        """
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_SECONDS)
        try:
            connection.request("GET", path)
            with connection.getresponse() as response:
                return response.status, response.read(_LARGEST_BYTES)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise NoGateway(f"No gateway answers on {self.address} ({type(error).__name__}).") from None
        finally:
            connection.close()

    def facts(self, path: str) -> dict[str, object]:
        """The JSON object that it answers.

        Raises:
            NoGateway: nothing answers, or something else than this.
        """
        status, body = self.get(path)
        try:
            answer = json.loads(body) if status == 200 else None
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise NoGateway(
                f"What answers on {self.address} tells nothing at {path} (HTTP {status}): no gateway of this version."
            )
        return answer
