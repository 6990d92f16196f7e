"""What the kernel's network code executes and touches, as programs the processor walks.

Instructions come from the datasheet (``guest.tcp.*``, ``guest.udp.*``, ``guest.bgnet.*``). Code with
per-packet work has interrupt-flag pairs at their measured density; copies have none. The MiB of the
kernel's linear mapping each stretch touches are those of the loopback traces: kernel text, kernel
data, and a pool of socket buffers that is gone through in turn.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import cycle

from bgsim.datasheet import Datasheet
from bgsim.platforms import layout
from bgsim.platforms.seam import Run
from bgsim.profiles import program as ops
from bgsim.profiles.program import Program, kernel_program, operation

TEXT_MIB = (0, 1, 2, 3, 4)
DATA_MIB = (4, 5, 9, 11)
BUFFER_MIB = (8, 10, 12, 16, 253, 254, 255)
"""MiB of the linear mapping in the ``tcp_*`` and ``udp_*`` traces, most used first in each kind."""


class NetworkPaths:
    """Builds and remembers the programs of the network code."""

    def __init__(self, datasheet: Datasheet) -> None:
        self._datasheet = datasheet
        self._pairs = Fraction(datasheet.quantity("guest.network_irq_pairs_per_kiloinstruction").value) / 1000
        share = Fraction(datasheet.quantity("guest.network_send_share").value)
        self.per_byte = Fraction(datasheet.quantity("guest.copy_instructions_per_byte").value) + Fraction(
            datasheet.quantity("guest.checksum_instructions_per_byte").value
        )
        self.send = {name: round(share * self._number(f"{name}.packet")) for name in ("tcp", "udp")}
        self.receive = {name: self._number(f"{name}.packet") - self.send[name] for name in ("tcp", "udp")}
        self.call = {name: self._number(f"{name}.call") for name in ("tcp", "udp")}
        self.block = self._number("block_and_wake")
        self.user = self._number("netperf_call")
        self.interrupt = self._number("interrupt")
        self.frame = self._number("bgnet.frame")
        self.torus_send = self._number("bgnet.send")
        self.torus_fragment = self._number("bgnet.fragment")
        self.collective_fragment = self._number("bgnet.collective_fragment")
        self._programs: dict[tuple[int, ...], Program] = {}
        self._buffers = cycle(BUFFER_MIB)
        self._owed = Fraction(0)

    def _number(self, path: str) -> int:
        return self._datasheet.integer(f"guest.{path}_instructions")

    # -- requests

    def work(self, instructions: int, copied_bytes: int = 0) -> Run:
        """Kernel work on a packet, and copying or summing bytes."""
        return self._run(0, 0, instructions, copied_bytes, next(self._buffers))

    def system_call(self, instructions: int) -> Run:
        """The program's own instructions, entering the kernel, and work on a socket there."""
        return self._run(self.user, ops.EXCEPTION_SYSCALL, instructions, 0, DATA_MIB[0])

    def interrupt_entry(self) -> Run:
        """Entering the kernel by the external interrupt, up to and behind the driver's handler."""
        return self._run(0, ops.EXCEPTION_EXTERNAL, self.interrupt, 0, DATA_MIB[0])

    def lock(self) -> Run:
        """Taking and releasing a spinlock with interrupts off."""
        return self._remembered((-1,), [operation(ops.SEQUENCE, layout.SEQ_IRQ_PAIR)])

    # -- programs

    def _run(self, user: int, exception: int, instructions: int, copied_bytes: int, buffer: int) -> Run:
        self._owed += instructions * self._pairs
        pairs = int(self._owed)
        self._owed -= pairs
        key = (user, exception, instructions, copied_bytes, buffer, pairs)
        words = []
        if key not in self._programs:
            if user:
                words.append(operation(ops.WORK_USER, user))
            if exception:
                words.append(operation(ops.ENTER, exception))
            words += [operation(ops.LOWMEM_INSTRUCTION, mib) for mib in TEXT_MIB]
            words += [operation(ops.LOWMEM_DATA, mib) for mib in (*DATA_MIB, buffer)]
            words += [operation(ops.SEQUENCE, layout.SEQ_IRQ_PAIR)] * pairs
            total = instructions + round(copied_bytes * self.per_byte)
            if total:
                words.append(operation(ops.WORK_KERNEL, total))
        return self._remembered(key, words)

    def _remembered(self, key: tuple[int, ...], words: list[int]) -> Run:
        program = self._programs.get(key)
        if program is None:
            program = self._programs[key] = kernel_program("network path", words)
        return Run(program)
