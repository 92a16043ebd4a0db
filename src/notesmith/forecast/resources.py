"""What this machine has: cores and threads, memory, GPU, disk; bytes throughout."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from notesmith.experiment.machine import machine

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_USES = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")


@dataclass(frozen=True, slots=True)
class Resources:
    """A machine; ``memory`` is what this process may use, ``free`` what nobody uses now.

    ``threads`` is how many of the ``cores`` PyTorch takes. ``gpu`` is empty where there is none,
    and 0 bytes are unknown ones.
    """

    cores: int
    threads: int
    memory: int
    free: int
    cpu: str = ""
    gpu: str = ""
    gpu_memory: int = 0

    @property
    def model_memory(self) -> int:
        """Bytes where models stand: the GPU's if there is one."""
        return self.gpu_memory if self.gpu else self.memory

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def resources() -> Resources:
    """Look at this machine; the GPU is asked for through PyTorch, where it is installed."""
    found = machine()
    cores = int(found["cores"])
    memory, free = _memory(int(found.get("memory_gib", 0) * 2**30))
    gpu, gpu_memory = _gpu()
    return Resources(cores, _threads(cores), memory, free, str(found["cpu"]), gpu, gpu_memory)


def free_disk(path: Path) -> int:
    """Free bytes on the disk that ``path`` is on, or would be."""
    at = path.absolute()
    while not at.exists():
        at = at.parent
    return shutil.disk_usage(at).free


def busy_seconds() -> float:
    """Processor seconds of all processes since the machine started; 0 where it is not known.

    Time that a hypervisor took away counts too. Linux only.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
        user, nice, system, _idle, _waits, irq, softirq, stolen = map(int, first.split()[1:9])
        return (user + nice + system + irq + softirq + stolen) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _threads(cores: int) -> int:
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) else cores


def _memory(physical: int) -> tuple[int, int]:
    """What may be used and what of it is free; a container's limit is below the machine's."""
    free = physical
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        free = int(line.split()[1]) * 1024
    for limit_file, use_file in zip(_LIMITS, _USES, strict=True):
        with contextlib.suppress(OSError, ValueError):
            limit = int(Path(limit_file).read_text(encoding="ascii"))
            used = int(Path(use_file).read_text(encoding="ascii"))
            if 0 < limit < physical:
                return limit, min(free, max(0, limit - used))
    return physical, free


def _gpu() -> tuple[str, int]:
    if importlib.util.find_spec("torch") is None:
        return "", 0
    import torch

    if not torch.cuda.is_available():
        return "", 0
    found = torch.cuda.get_device_properties(0)
    return str(found.name), int(found.total_memory)
