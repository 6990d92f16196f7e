"""What several unit tests need."""

import pytest

from bgsim.datasheet import Datasheet

FREE = (
    "l4.os.",
    "l4.dcache_lines_lost_per_refill",
    "l4.map_fpage_instructions",
    "vmm.tlb_miss_cycles",
    "vmm.dcr_pass_through_cycles",
    "vmm.descriptor_copy_instructions",
    "vmm.torus_register_instructions",
    "vmm.collective_quad_instructions",
    "vmm.collective_packet_instructions",
    "vmm.acknowledge_instructions",
    "cnk.lines_per_iccci",
)
"""What a virtual machine costs: path lengths, lost cache lines, mapping, the VMM's own work and misses."""


@pytest.fixture(scope="session")
def free_machine() -> Datasheet:
    """The machine with a kernel and a VMM that take no time."""
    machine = Datasheet.load()
    zero = [name for name in machine if name.startswith(FREE)]
    kept = [name for name in zero if name.startswith("l4.os.") and name.endswith(".instructions")]
    return machine.with_values({name: 0 for name in zero if name not in kept})
