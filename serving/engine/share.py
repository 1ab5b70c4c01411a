"""One engine's part of a machine on which several run."""

from dataclasses import dataclass, replace

from serving.engine.hardware import Hardware
from serving.errors import CannotRun


@dataclass(frozen=True, kw_only=True)
class Share:
    """Which of how many engines it is; by default the only one, which has all of the machine."""

    number: int = 0
    of: int = 1

    @property
    def name(self) -> str:
        """What the engine is called in the console, of its log and of its sockets."""
        return "engine" if self.of == 1 else f"engine-{self.number}"

    def part(self, machine: Hardware) -> Hardware:
        """What of the machine is this engine's: a GPU, or as many cores as each other gets; memory in equal parts.

        Raises:
            CannotRun: there are fewer GPUs than engines.
        """
        if self.of == 1:
            return machine
        if machine.gpus and len(machine.gpus) < self.of:
            raise CannotRun(
                f"{self.of} engines need a GPU each, this machine has {len(machine.gpus)}: lower ZEPHYR_REPLICAS"
            )
        most = machine.memory_bytes // self.of
        return replace(
            machine,
            gpus=machine.gpus[self.number : self.number + 1],
            core_ids=self._cores(machine.core_ids),
            cores=max(1, machine.cores // self.of),
            memory_bytes=most,
            memory_free_bytes=min(machine.memory_free_bytes, most),
        )

    def environment(self, part: Hardware, visible: str = "") -> dict[str, str]:
        """What keeps vLLM to its part. `visible` is CUDA_VISIBLE_DEVICES where the operator has set it."""
        if self.of == 1:
            return {}
        if part.gpus:
            devices = visible.split(",") if visible else [str(number) for number in range(self.of)]
            if len(devices) < self.of:
                raise CannotRun(f"CUDA_VISIBLE_DEVICES names {len(devices)} GPUs for {self.of} engines")
            return {"CUDA_VISIBLE_DEVICES": devices[self.number]}
        # The model's threads would otherwise meet those of the others on the same cores, which vLLM binds them to.
        bound = part.core_ids[:-1] or part.core_ids  # the last is left to its scheduler and its server
        return {"VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, bound))} if bound else {}

    def _cores(self, all_of_them: tuple[int, ...]) -> tuple[int, ...]:
        """Neighbouring cores; where there are fewer cores than engines, one that others have too."""
        each = len(all_of_them) // self.of
        if each == 0:
            return all_of_them[self.number % len(all_of_them) :][:1] if all_of_them else ()
        return all_of_them[self.number * each : (self.number + 1) * each]
