"""The processes that train one model together: how they share work, gather results and decide.

``accelerate launch`` or ``torchrun`` starts them, one for each GPU. Without a launcher there is one
process. If one fails, the launcher ends all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from notesmith.files.write import atomic_folder
from notesmith.models.load import require

T = TypeVar("T")

# How long a process waits for another, which may be computing rewards.
_PATIENCE = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Processes:
    """This process's ``index`` among the ``n`` that train a model; the main one has index 0.

    All processes must call the same methods in the same order.
    """

    index: int
    n: int

    @classmethod
    def at(cls, device: torch.device) -> Processes:
        """The processes that train on devices of this kind; the first call connects them.

        Raises:
            MissingExtraError: accelerate is not installed.
        """
        accelerate = require("accelerate", "models")
        state = accelerate.PartialState(cpu=device.type == "cpu", timeout=_PATIENCE)
        return cls(state.process_index, state.num_processes)

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that decides and writes."""
        return self.index == 0

    def share(self, n: int) -> range:
        """The indices of the ``n`` items that this process works on."""
        return range(n * self.index // self.n, n * (self.index + 1) // self.n)

    def gathered(self, own: Sequence[T]) -> list[T]:
        """The items of all processes, in the order of the processes."""
        from accelerate.utils import gather_object

        return list(gather_object(list(own)))

    def from_main(self, make: Callable[[], T]) -> T:
        """What ``make`` returns in the main process, the only one that calls it.

        Use it for values that decide how training goes on. If each process computed such a value,
        the values could differ in the last digit, and the processes would take different paths.
        """
        from accelerate.utils import broadcast_object_list

        found: list[T] = broadcast_object_list([make() if self.is_main else None])
        return found[0]

    def equalise(self, parameters: Sequence[Tensor]) -> None:
        """Set ``parameters`` to the values of the main process."""
        from accelerate.utils import broadcast

        if self.n > 1:
            broadcast([parameter.data for parameter in parameters])

    def sum_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Set the gradient of each parameter to its sum over all processes."""
        from accelerate.utils import reduce

        for parameter in parameters if self.n > 1 else ():
            own = parameter.grad
            own = torch.zeros_like(parameter) if own is None else own
            parameter.grad = reduce(own, "sum")

    def sums(self, own: Mapping[str, float]) -> dict[str, float]:
        """The sum of each number over the processes that have it."""
        found: dict[str, float] = {}
        for numbers in self.gathered([own]):
            for name, value in numbers.items():
                found[name] = found[name] + value if name in found else value
        return found

    def wait(self) -> None:
        """Wait until all processes have called this."""
        from accelerate import PartialState

        PartialState().wait_for_everyone()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the main process run the block before the others; all go on together afterwards."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()
        self.wait()

    @contextmanager
    def folder(self, path: Path) -> Iterator[Path | None]:
        """``atomic_folder`` in the main process; the others get None and wait for the folder."""
        if self.is_main:
            with atomic_folder(path) as temp:
                yield temp
        else:
            yield None
        self.wait()
