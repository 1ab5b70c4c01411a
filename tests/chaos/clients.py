"""Clients that never stop asking, and note what they see."""

import asyncio
import itertools
import json
import random
from collections.abc import Sequence

import aiohttp

from tests.chaos.history import Asked, History

_SECONDS = 20.0
_PAUSE_AFTER_REFUSAL = 0.05


class Clients:
    """Any number of them, each asking one question after the other at any of the doors."""

    def __init__(self, addresses: Sequence[str], history: History, chance: random.Random) -> None:
        self._addresses = addresses
        self._history = history
        self._chance = chance
        self._numbers = itertools.count(1)
        self.longest_seconds = 0.0
        """The longest that a client waited for the end of an answer."""

    async def ask_for_ever(self) -> None:
        """Be one client."""
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                asked = Asked(question=f"question {next(self._numbers)}")
                self._history.asked.append(asked)
                began = asyncio.get_running_loop().time()
                try:
                    await self._ask(session, asked)
                except (aiohttp.ClientError, TimeoutError, OSError, json.JSONDecodeError):
                    await asyncio.sleep(_PAUSE_AFTER_REFUSAL)  # whether it was answered is not known
                if asked.acknowledged:
                    seconds = asyncio.get_running_loop().time() - began
                    self.longest_seconds = max(self.longest_seconds, seconds)
                elif asked.status is not None:
                    await asyncio.sleep(_PAUSE_AFTER_REFUSAL)

    async def _ask(self, session: aiohttp.ClientSession, asked: Asked) -> None:
        address = self._chance.choice(self._addresses)
        kind = self._chance.choice(("plain", "stream", "zephyr"))
        body: dict[str, object]
        if kind == "zephyr":
            path, body = "/zephyr/python", {"user_message": asked.question}
        else:
            message = {"role": "user", "content": asked.question}
            path, body = "/v1/chat/completions", {"messages": [message], "stream": kind == "stream"}
        async with session.post(address + path, json=body) as response:
            asked.status = response.status
            if response.status != 200:
                return
            if kind == "stream":
                await _read_stream(response, asked)
            else:
                _read_plain(await response.read(), asked)


def _read_plain(body: bytes, asked: Asked) -> None:
    answer = json.loads(body)
    asked.answer = answer["response"] if "response" in answer else answer["choices"][0]["message"]["content"]
    asked.acknowledged = True


async def _read_stream(response: aiohttp.ClientResponse, asked: Asked) -> None:
    async for line in response.content:
        data = line.removeprefix(b"data:").strip()
        if data == b"[DONE]":
            asked.acknowledged = True
        elif data.startswith(b"{"):
            choices = json.loads(data).get("choices") or [{}]
            asked.answer += choices[0].get("delta", {}).get("content") or ""
