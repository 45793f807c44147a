"""One ATen operation, as the rules for rows and columns see it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fullyconv.geometry.signal import Signal, Where


@dataclass
class Call:
    """One ATen operation while the network runs: its name, its arguments by name, and what came out.

    ``pointwise``: each element of the output depends on the elements at the same place alone. ``signal`` says
    what is known of a tensor (None: it does not depend on the image). ``show`` adds a layer to the trace.
    ``note`` adds to the list of operations that see the whole image, and gives the number of the entry.
    ``gate`` says that the poolings of these entries have come to scale the channels of a map.
    """

    op: str
    args: dict[str, Any]
    outputs: list[Tensor]
    pointwise: bool
    signal: Callable[[Tensor], Signal | None]
    show: Callable[[str, Signal], None]
    note: Callable[[str], int]
    gate: Callable[[frozenset[int]], None]

    @property
    def out(self) -> Tensor:
        """The output, or the first of several."""
        return self.outputs[0]

    def inputs(self) -> list[tuple[Tensor, Signal]]:
        """The tensors among the arguments that depend on the image."""
        flat = [x for arg in self.args.values() for x in (arg if isinstance(arg, list | tuple) else [arg])]
        tensors = [x for x in flat if isinstance(x, Tensor)]
        return [(x, signal) for x in tensors if (signal := self.signal(x)) is not None]

    def only(self) -> tuple[Tensor, Signal]:
        """The first of them: the one, where an operation has one input."""
        return self.inputs()[0]

    def recognized(self, signal: Signal, shape: Sequence[int], surely: bool = False) -> Signal:
        """`Signal.recognized`, noted if it is this that makes cells see the whole image."""
        found = signal.recognized(shape, surely)
        if signal.where is None and found.where is not None and not signal.whole:
            self.note("rearrangement")
        return found

    def mixed(self, signal: Signal, kind: str, where: Where = None) -> Signal:
        """The signal after an operation by which each cell sees all of them; noted and shown as ``kind``."""
        signal = signal.mixed().at(where)
        self.note(kind)
        self.show(kind, signal)
        return signal


Rule = Callable[[Call], Signal | Sequence[Signal]]
"""Gives what is known of the output; a list where an operation has several that differ."""
