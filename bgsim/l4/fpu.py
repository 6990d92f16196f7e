"""Who owns the floating-point registers.

They are not copied with a message: ownership swings from the guest to the VMM and back with every
forwarded fault. Only when the registers belong to a third thread, another virtual machine's, are
they spilled and restored.

Source: L4Ka::Pistachio ``thread.cc`` (control transfer of the FPU item), ``softhvm.cc``.
"""

from __future__ import annotations

from bgsim.l4.thread import Thread


class Fpu:
    """Ownership of one core's floating-point registers.

    Parameters
    ----------
    switch_cycles
        Spilling 32 quad registers of one thread and restoring those of another.
    """

    def __init__(self, switch_cycles: int) -> None:
        self.switch_cycles = switch_cycles
        self.owner: Thread | None = None
        self.switches = 0

    def hand_over(self, giver: Thread, taker: Thread) -> int:
        """Ownership travels with a message; returns what it costs, in cycles."""
        stranger = self.owner is not None and self.owner is not giver and self.owner is not taker
        self.owner = taker
        if not stranger:
            return 0
        self.switches += 1
        return self.switch_cycles
