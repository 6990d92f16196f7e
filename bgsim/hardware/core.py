"""A PPC450 core: how long the guest's own instructions take.

Models the cost of straight guest code as cycles per instruction from the same pipeline model that
prices the microkernel's paths, plus instruction- and data-cache misses, plus the extra cycles of
privileged and synchronising instructions. Left out: the order of instructions in the guest (no
instruction trace exists) and the cores' sharing of L3 and memory.

Source: the executed kernel paths and their pipeline model (``bgsim datasheet 'core.*'``).
"""

from __future__ import annotations

from fractions import Fraction

from bgsim.datasheet import Datasheet


def _fraction(datasheet: Datasheet, name: str) -> Fraction:
    return Fraction(datasheet.quantity(name).value)


def at_setting(datasheet: Datasheet, name: str) -> Fraction:
    """A record of the pipeline model at the setting ``core.timing`` chooses.

    The optimistic setting takes every such record at its low value, the pessimistic one at its high
    value, for the guest's code and the microkernel's alike: it is one pipeline. A record the user
    has set keeps its value.
    """
    parameter = datasheet[name]
    timing = datasheet.text("core.timing")
    if timing == "central" or name in datasheet.overridden:
        return _fraction(datasheet, name)
    bound = parameter.low if timing == "low" else parameter.high
    assert isinstance(bound, int | float), f"{name} has no range"
    return Fraction(str(bound))


def guest_cpi(datasheet: Datasheet) -> Fraction:
    """Cycles per guest instruction, TLB misses apart."""
    compiled = at_setting(datasheet, "guest.compiled_code_cpi")
    instruction_misses = _fraction(datasheet, "guest.icache_misses_per_kiloinstruction")
    data_misses = _fraction(datasheet, "guest.dcache_misses_per_kiloinstruction")
    return (
        compiled
        + instruction_misses * at_setting(datasheet, "core.icache_line_cycles") / 1000
        + data_misses * _fraction(datasheet, "guest.dcache_miss_cycles") / 1000
    )


def exception_cycles(datasheet: Datasheet) -> int:
    """Taking an exception: refetch, and one instruction and one data shadow TLB refill."""
    return int(at_setting(datasheet, "core.exception_entry_cycles")) + 2 * datasheet.integer(
        "tlb.shadow_refill"
    )


def privileged_cycles(datasheet: Datasheet, instruction: str) -> int:
    """A privileged instruction executed by the core itself.

    Parameters
    ----------
    instruction
        Name as in the guest's sequences, such as ``mtspr_SPRG0`` or ``rfi_to_user``.
    """
    operation = instruction.split("_", maxsplit=1)[0]
    if operation == "rfi":
        return int(at_setting(datasheet, "core.rfi_cycles")) + 2 * datasheet.integer("tlb.shadow_refill")
    record = {
        "mfspr": "core.mfspr_cycles",
        "mfmsr": "core.mfspr_cycles",
        "mtspr": "core.mtspr_cycles",
        "mtmsr": "core.mtmsr_cycles",
        "wrtee": "core.mtmsr_cycles",
        "wrteei": "core.mtmsr_cycles",
        "tlbwe": "core.tlbwe_cycles",
        "tlbsx": "core.tlbsx_cycles",
    }[operation]
    return int(at_setting(datasheet, record))


def tlb_handler_cycles(datasheet: Datasheet) -> int:
    """The guest's TLB miss handler, its privileged instructions apart, with the exception that starts it."""
    cycles = (
        datasheet.integer("guest.tlb_handler_instructions") * at_setting(datasheet, "guest.compiled_code_cpi")
        + _fraction(datasheet, "guest.tlb_handler_dcache_misses")
        * _fraction(datasheet, "guest.dcache_miss_cycles")
        + exception_cycles(datasheet)
    )
    return round(cycles)
