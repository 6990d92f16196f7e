"""What the time of one virtual machine on its core went to, outside the walk of its guest.

A core's time is divided between the virtual machines it runs: all that happens from the moment the space of
one is entered until that of another is, is charged to the first. So interrupts that the microkernel and the
VMM handle meanwhile for another virtual machine are in the account of the one they interrupt.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class CauseCost:
    """What one cause of leaving the guest cost outside the walk."""

    count: int = 0
    cycles_l4: int = 0
    cycles_vmm: int = 0


@dataclass
class Account:
    """Cycles by cause, and events.

    Attributes
    ----------
    idle_cycles
        The guest had nothing to do, and its idle loop spun.
    refill_cycles
        Cache lines the guest had to fetch again because another virtual machine had the core.
    held_cycles
        From entering the virtual machine's space until another one's was entered, up to the last such moment.
    entered
        How often the space was entered from another one's.
    """

    causes: dict[str, CauseCost] = field(default_factory=dict)
    idle_cycles: int = 0
    device_cycles: int = 0
    device_accesses: int = 0
    refill_cycles: int = 0
    held_cycles: int = 0
    entered: int = 0

    def charge(self, cause: str, l4: int, vmm: int, count: int) -> None:
        """Add cycles, or occurrences, to a cause."""
        cost = self.causes.get(cause)
        if cost is None:
            cost = self.causes[cause] = CauseCost()
        cost.count += count
        cost.cycles_l4 += l4
        cost.cycles_vmm += vmm
