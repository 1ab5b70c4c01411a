"""One section of a document while it is written."""

import asyncio
from collections.abc import AsyncGenerator

from adapters.access.client import Client
from adapters.completions.generation import Generation
from adapters.completions.relay import Completions
from adapters.zephyr.headings import SectionText
from adapters.zephyr.streamed import texts_of
from adapters.zephyr.trimming import Trimming


class WrittenSection:
    """Iterate over `texts` while `write` runs."""

    def __init__(self, heading: str, generation: Generation | None) -> None:
        """Without a generation, for which the budget was too small, the section has no text."""
        self.heading = heading
        self.generation = generation
        self.whole = False
        self._begun = False
        self._texts: asyncio.Queue[str | None] = asyncio.Queue()

    async def write(self, completions: Completions, client: Client) -> None:
        """Have the engine write it.

        Raises:
            GatewayError: the engine gave no answer, or broke.
        """
        try:
            if self.generation is None:
                self._show_heading()
            else:
                await self._write(self.generation, completions, client)
            self.whole = True
        finally:
            self._texts.put_nowait(None)

    async def texts(self) -> AsyncGenerator[str, None]:
        """The heading when the engine has begun, then the text piece by piece, until it ends or breaks."""
        while (text := await self._texts.get()) is not None:
            yield text

    async def _write(self, generation: Generation, completions: Completions, client: Client) -> None:
        stream = await completions.stream(generation, client)
        self._show_heading()
        text, trimming = SectionText(self.heading), Trimming()
        async for piece in texts_of(stream):
            self._show(trimming.feed(text.feed(piece)))
        self._show(trimming.feed(text.end()))

    def _show_heading(self) -> None:
        self._texts.put_nowait(f"## {self.heading}")

    def _show(self, text: str) -> None:
        if text:
            self._texts.put_nowait(text if self._begun else f"\n\n{text}")
            self._begun = True
