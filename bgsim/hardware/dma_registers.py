"""Where the DMA engine's registers are, and how they are packed.

Each of the four groups has a page of 32-bit registers at ``BASE + group * GROUP_SIZE``; configuration that
belongs to the whole engine is in device control registers. FIFO pointers and counter bases are physical
addresses divided by 16. Bits count from the left: FIFO or counter 0 is the most significant bit. Source:
layout of Kittyhawk Linux torus.{h,c} and khvmm torus.h.
"""

from __future__ import annotations

from enum import IntEnum

BASE = 0x6_0000_0000
GROUP_SIZE = 0x1000
GROUPS = 4
INJECTION_FIFOS = 32  # per group
RECEPTION_FIFOS = 8  # per group
HEADER_FIFO = 8  # index of a group's header FIFO among its reception FIFOs
COUNTERS = 64  # per group, injection and reception each
PACKET_SLOT_BYTES = 256
DESCRIPTOR_BYTES = 32
DCR_BASE = 0xD00
DCR_COUNT = 0x100

KERNEL_GROUP = 3
"""The group the operating system's Ethernet driver uses; its last FIFOs and counter are the driver's."""
KERNEL_INJECTION_FIFO = 31
KERNEL_RECEPTION_FIFO = 7
KERNEL_COUNTER = 63


class Register(IntEnum):
    """Registers of a group, as offsets into its page."""

    INJECTION_FIFO = 0x000  # + 16 * fifo + FifoRegister
    INJECTION_NOT_EMPTY = 0x200
    INJECTION_AVAILABLE = 0x208
    INJECTION_THRESHOLD = 0x210
    INJECTION_THRESHOLD_CLEAR = 0x218
    INJECTION_ACTIVE = 0x220
    INJECTION_ACTIVATE = 0x224
    INJECTION_DEACTIVATE = 0x228
    INJECTION_COUNTER_CONTROL = 0x300  # + CounterControl + 4 * (counter // 32)
    INJECTION_COUNTER = 0x400  # + 16 * counter + CounterRegister
    RECEPTION_FIFO = 0x800  # + 16 * fifo + FifoRegister; fifo 8 is the header FIFO
    RECEPTION_NOT_EMPTY = 0xA00  # + 4 * word: 32 FIFOs of all groups, then the 4 header FIFOs
    RECEPTION_AVAILABLE = 0xA08
    RECEPTION_THRESHOLD = 0xA10
    RECEPTION_THRESHOLD_CLEAR = 0xA18
    RECEPTION_COUNTER_CONTROL = 0xB00  # + CounterControl + 4 * (counter // 32)
    RECEPTION_COUNTER = 0xC00  # + 16 * counter + CounterRegister


class FifoRegister(IntEnum):
    """Registers of one FIFO."""

    START = 0x0
    END = 0x4
    HEAD = 0x8
    TAIL = 0xC


class CounterRegister(IntEnum):
    """Registers of one counter."""

    VALUE = 0x0
    INCREMENT = 0x4
    BASE = 0x8
    LIMIT = 0xC


class CounterControl(IntEnum):
    """Registers over all counters of a group."""

    ENABLED = 0x00
    ENABLE = 0x08
    DISABLE = 0x10
    HIT_ZERO = 0x20
    HIT_ZERO_CLEAR = 0x28
    GROUP_STATUS = 0x30  # one bit for each 8 counters of the whole engine that has a hit zero


class Dcr(IntEnum):
    """Device control registers of the engine, as offsets from `DCR_BASE`."""

    RESET = 0x00
    BASE_CONTROL = 0x01
    INJECTION_RANGE = 0x02  # + 2 * range, minimum; + 1 maximum
    RECEPTION_RANGE = 0x14
    INJECTION_FIFO_ENABLE = 0x2C  # + group
    RECEPTION_FIFO_ENABLE = 0x30
    RECEPTION_HEADER_FIFO_ENABLE = 0x31
    INJECTION_FIFO_PRIORITY = 0x32  # + group
    INJECTION_THRESHOLD = 0x36  # free space in units of 16 bytes
    RECEPTION_FIFO_TYPE = 0x38
    RECEPTION_THRESHOLD = 0x3A  # + type, free space in units of 16 bytes
    INJECTION_FIFO_MAP = 0x3C  # + 8 * group + fifo // 4, one byte per FIFO: the network FIFOs it may use
    INJECTION_FIFO_LOCAL = 0x5C  # + group
    RECEPTION_FIFO_MAP = 0x60  # + 2 * reception group; bytes X+ X- Y+ Y-, then Z+ Z- high local
    INJECTION_FIFO_INTERRUPT = 0x6D  # + group
    RECEPTION_FIFO_INTERRUPT = 0x71  # + type
    INJECTION_COUNTER_INTERRUPT = 0x76  # + line, one bit for each 8 counters
    RECEPTION_COUNTER_INTERRUPT = 0x7A  # + line


class Interrupt(IntEnum):
    """First interrupt of each kind the model raises; four lines each, unless noted."""

    FIRST = 0x20
    FATAL = 0x20  # one line; of the torus, which a virtual machine's descriptor can raise
    INJECTION_FIFO_THRESHOLD = 0x58  # + group
    RECEPTION_FIFO_THRESHOLD = 0x5C  # + type
    INJECTION_COUNTER_ZERO = 0x60  # + line
    RECEPTION_COUNTER_ZERO = 0x64  # + line
    INJECTION_COUNTER_NOT_ENABLED = 0x68  # one line
    LAST = 0x79


def group_address(group: int, offset: int = 0) -> int:
    """Physical address of a register of a group."""
    return BASE + group * GROUP_SIZE + offset


def injection_fifo(fifo: int, register: FifoRegister) -> int:
    """Offset of an injection FIFO's register."""
    return Register.INJECTION_FIFO + 16 * fifo + register


def reception_fifo(fifo: int, register: FifoRegister) -> int:
    """Offset of a reception FIFO's register."""
    return Register.RECEPTION_FIFO + 16 * fifo + register


def injection_counter(counter: int, register: CounterRegister) -> int:
    """Offset of an injection counter's register."""
    return Register.INJECTION_COUNTER + 16 * counter + register


def reception_counter(counter: int, register: CounterRegister) -> int:
    """Offset of a reception counter's register."""
    return Register.RECEPTION_COUNTER + 16 * counter + register


def bit(index: int) -> int:
    """The bit of a FIFO or counter in its word."""
    return 0x8000_0000 >> (index & 31)


def injection_enable_dcr(group: int) -> int:
    """Number of the register that enables a group's injection FIFOs."""
    return DCR_BASE + Dcr.INJECTION_FIFO_ENABLE + group


def counter_interrupt_bit(group: int, counter: int) -> int:
    """The bit of a counter in an interrupt enable word: eight counters share one."""
    return bit((group * COUNTERS + counter) // 8)
