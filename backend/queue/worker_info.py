"""WorkerInfo: what a worker says of itself, every few seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A live worker.

    ``job_id`` is "" when it is idle, ``device`` as of ``training.devices``; ``memory_mib`` is that
    of its GPU, 0 where it has none or that is not known.
    """

    name: str
    queues: tuple[str, ...]
    job_id: str
    device: str = ""
    memory_mib: int = 0

    def to_text(self) -> str:
        """What its heartbeat says, without the name."""
        return "|".join((",".join(self.queues), self.job_id, self.device, str(self.memory_mib)))

    @classmethod
    def from_text(cls, name: str, text: str) -> WorkerInfo:
        """Reads what ``to_text`` wrote, also what a worker of another release leaves out."""
        queues, job_id, device, memory, *_ = [*text.split("|"), "", "", "", ""]
        memory_mib = int(memory) if memory.isdigit() else 0
        return cls(name, tuple(queues.split(",")), job_id, device, memory_mib)
