"""Takes the statistics, while somebody watches or asks."""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor

import structlog

from adapters.errors import Overloaded, ShuttingDown
from adapters.gpu.broadcast import Broadcast
from adapters.gpu.meter import EngineMeter
from adapters.gpu.nvml import GpuReading, Nvml
from adapters.gpu.schemas import Stats
from adapters.settings import GpuSettings

_log = structlog.get_logger(__name__)
_DRIVER_SECONDS = 2.0


class Sampler:
    """One task samples for any number of watchers, and ends with the last of them."""

    def __init__(self, nvml: Nvml, meter: EngineMeter, settings: GpuSettings) -> None:
        self._nvml = nvml
        self._meter = meter
        self._settings = settings
        self._broadcast: Broadcast[Stats] = Broadcast()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nvml")
        self._reading: asyncio.Future[GpuReading] | None = None
        self._turn = asyncio.Lock()
        self._latest: tuple[float, Stats] | None = None
        self._task: asyncio.Task[None] | None = None
        self._watchers = 0
        self._closed = False

    def check_room(self) -> None:
        """Return if one more may watch.

        Raises:
            ShuttingDown: nobody may any more.
            Overloaded: as many as the settings allow are watching.
        """
        if self._closed:
            raise ShuttingDown
        if self._watchers >= self._settings.gpu_max_sockets:
            raise Overloaded("As many are watching the statistics as this server takes.")

    async def watch(self) -> AsyncGenerator[Stats, None]:
        """The statistics about once an interval, until the sampler is closed."""
        self.check_room()
        self._watchers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._sample_for_ever(), name="gpu sampler")
        try:
            yield await self.once()
            async for stats in self._broadcast.listen():
                yield stats
        finally:
            self._watchers -= 1
            if self._watchers == 0:
                await self._rest()

    async def once(self) -> Stats:
        """The statistics, no older than an interval."""
        async with self._turn:
            now = asyncio.get_running_loop().time()
            if self._latest is not None and now - self._latest[0] < self._settings.gpu_interval:
                return self._latest[1]
            return await self._sample()

    def close_watching(self) -> None:
        """End everybody's watching."""
        self._closed = True
        self._broadcast.close()

    async def close(self) -> None:
        """End the sampling, and give the driver back."""
        self.close_watching()
        await self._rest()
        if self._reading is None or self._reading.done():
            self._nvml.close()
        self._thread.shutdown(wait=False)

    async def _sample_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.gpu_interval)
            try:
                async with self._turn:
                    self._broadcast.publish(await self._sample())
            except Exception as error:  # noqa: BLE001  # watching goes on whatever one look meets
                _log.error("sampling stumbled", event_key="sampler_error", error=type(error).__name__)

    async def _sample(self) -> Stats:
        stats = Stats.of(await self.read_gpus(), await self._meter.read())
        self._latest = asyncio.get_running_loop().time(), stats
        return stats

    async def _rest(self) -> None:
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def read_gpus(self) -> GpuReading:
        """The GPUs now, read in a thread of its own: a driver that hangs holds up nothing else."""
        if self._reading is None or self._reading.done():
            loop = asyncio.get_running_loop()
            self._reading = loop.run_in_executor(self._thread, self._nvml.read)
        done, _ = await asyncio.wait([self._reading], timeout=_DRIVER_SECONDS)
        return self._reading.result() if done else GpuReading(problem="The NVIDIA driver does not answer.")
