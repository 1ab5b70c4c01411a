"""A stand-in for vLLM's server: a process with vLLM's command line that answers on a unix socket, rightly or wrongly.

Which it does is in the file that FAKE_VLLM names: `right`, or one of the faults below.
"""

import http.server
import itertools
import json
import math
import os
import signal
import socketserver
import sys
import time
from pathlib import Path
from typing import Any

PROMPT_TOKENS = 7
FAULTS = ("wrong", "other-name", "not-finite", "miscounts", "unsteady", "endless", "refuses", "silent")


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    numbers = itertools.count()
    model = "mine"

    def do_GET(self) -> None:
        if self.path == "/health":
            self.reply({})
        else:
            self.reply({"data": [{"id": "another" if self.fault() == "other-name" else self.model}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if request_id := self.headers["X-Request-Id"]:
            from zephyr_requests import line  # type: ignore[import-not-found]  # as vLLM finds it

            print(line(request_id, self.path, 200, 0.001), flush=True)
        if self.path == "/tokenize":
            self.reply({"count": PROMPT_TOKENS + (self.fault() == "miscounts")})
        elif self.fault() == "refuses":
            self.reply({"error": {"message": "no"}}, 500)
        elif self.fault() == "silent":
            time.sleep(60)
        else:
            self.reply(self.answer(body))

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        fault, tokens = self.fault(), body["max_tokens"]
        text = "L'Étoile, la Marseillaise, la femme" if fault == "wrong" else "Paris"
        logprob = {"not-finite": math.nan, "unsteady": -float(next(self.numbers))}.get(fault, -0.5)
        produced = tokens + 1 if fault == "endless" else tokens
        return {
            "choices": [
                {
                    "message": {"content": text},
                    "finish_reason": "length",
                    "logprobs": {"content": [{"token": "x", "logprob": logprob}] * produced},
                }
            ],
            "usage": {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": produced},
        }

    def fault(self) -> str:
        return Path(os.environ["FAKE_VLLM"]).read_text()

    def reply(self, body: object, status: int = 200) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: the test reads what the process prints on purpose."""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def main(arguments: list[str]) -> None:
    def value(flag: str) -> str:
        return arguments[arguments.index(flag) + 1]

    print("INFO non-default args: {}", flush=True)
    if Path(os.environ["FAKE_VLLM"]).read_text() == "dies":
        print("ValueError: there is not enough of something", flush=True)
        sys.exit(3)
    if Path(os.environ["FAKE_VLLM"]).read_text() == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("INFO ignoring", flush=True)
    Handler.model = value("--served-model-name")
    with Server(value("--uds"), Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
