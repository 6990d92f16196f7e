"""The DMA engine of a node: registers, device control registers and interrupts over injection and reception.

Four groups of 32 injection FIFOs, 8 reception FIFOs, a header FIFO, 64 injection and 64 reception counters.
Software works it through registers on the bus or, as user-level code does after mapping them, through the
methods here; both have the same effect at the same simulated time. Left out: address range checks, header
FIFOs (debugging), error injection and error counters; the registers for them hold what is written. Sources:
Kittyhawk Linux torus.{h,c}, khvmm torus.h, IBM SPI headers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from simpy import Environment, Event

from bgsim.datasheet import Datasheet
from bgsim.hardware import dma_registers as reg
from bgsim.hardware.bic import Bic
from bgsim.hardware.dma_counters import CounterFile
from bgsim.hardware.dma_descriptor import DmaPacket
from bgsim.hardware.dma_fifo import Fifo
from bgsim.hardware.dma_injection import DmaError, InjectionUnit
from bgsim.hardware.dma_reception import LOCAL_PORT, ReceptionUnit
from bgsim.hardware.dma_registers import Dcr, FifoRegister, Interrupt, Register
from bgsim.hardware.memory import Memory, Ring
from bgsim.hardware.torus_port import TorusPort
from bgsim.network.callout import call_after

__all__ = ["Dma", "DmaError"]

_ALL = 0xFFFF_FFFF


class Dma:
    """The DMA engine.

    Life cycle: after construction everything is disabled. Software points FIFOs at rings in memory, enables
    counters, FIFOs and interrupts, and then moves tails (injection) and heads (reception).

    Parameters
    ----------
    environment
        Simulation environment in core cycles.
    port
        The node's torus port.
    memory
        Physical memory with the rings.
    bic
        Where interrupts go.
    datasheet
        The machine.
    """

    def __init__(
        self, environment: Environment, port: TorusPort, memory: Memory, bic: Bic, datasheet: Datasheet
    ) -> None:
        self._environment = environment
        self.on_activity: Callable[[], None] = lambda: None
        self._bic = bic
        self._port = port
        self._control: dict[int, int] = {}
        self._reset_maps()
        self._active = [0] * reg.GROUPS
        self._injection_threshold = [0] * reg.GROUPS
        self._reception_threshold = [0, 0]
        self._injected: dict[int, list[Event]] = {}
        self._received: dict[int, list[Event]] = {}
        self._stalled_copies: deque[DmaPacket] = deque()
        self._any_interrupt_enabled = False
        self._lines_up: set[int] = set()
        self._memory_latency = datasheet.cycles("memory.latency")
        self.injection_counters = CounterFile(
            lambda counter: self._hit_zero(self._injected, counter), self._update_counter_lines
        )
        self.reception_counters = CounterFile(
            lambda counter: self._hit_zero(self._received, counter), self._update_counter_lines
        )
        self.injection = InjectionUnit(
            environment,
            port,
            memory,
            self.injection_counters,
            datasheet,
            is_enabled=self._injection_enabled,
            on_local=self._copy_locally,
            on_descriptor_done=self._descriptor_done,
        )
        self.reception = ReceptionUnit(
            environment,
            memory,
            self.reception_counters,
            self.injection,
            datasheet,
            fifo_for=self._reception_fifo_for,
            is_enabled=self._reception_enabled,
            on_fifo_packet=self._fifo_packet,
        )
        port.attach(self.reception.on_packet)

    # -- registers

    def load(self, offset: int) -> int:
        """Read a register; `offset` counts from the first group's page."""
        group, register = divmod(offset, reg.GROUP_SIZE)
        if register < Register.INJECTION_NOT_EMPTY:
            return self._injection_fifo(group, register >> 4).load(register & 0xF)
        if Register.INJECTION_COUNTER <= register < Register.RECEPTION_FIFO:
            return self.injection_counters.load(
                group, register - Register.INJECTION_COUNTER >> 4, register & 0xF
            )
        if register >= Register.RECEPTION_COUNTER:
            return self.reception_counters.load(
                group, register - Register.RECEPTION_COUNTER >> 4, register & 0xF
            )
        if Register.RECEPTION_FIFO <= register < Register.RECEPTION_FIFO + 0x90:
            return self._reception_fifo(group, register - Register.RECEPTION_FIFO >> 4).load(register & 0xF)
        if Register.INJECTION_COUNTER_CONTROL <= register < Register.INJECTION_COUNTER:
            return self.injection_counters.load_control(group, register - Register.INJECTION_COUNTER_CONTROL)
        if register >= Register.RECEPTION_COUNTER_CONTROL:
            return self.reception_counters.load_control(group, register - Register.RECEPTION_COUNTER_CONTROL)
        return self._load_status(group, register)

    def store(self, offset: int, value: int) -> None:
        """Write a register; `offset` counts from the first group's page."""
        group, register = divmod(offset, reg.GROUP_SIZE)
        if register < Register.INJECTION_NOT_EMPTY:
            fifo = self._injection_fifo(group, register >> 4)
            fifo.store(register & 0xF, value)
            if register & 0xF == FifoRegister.TAIL:
                self.injection.kick(fifo.index)
        elif Register.INJECTION_COUNTER <= register < Register.RECEPTION_FIFO:
            counter = register - Register.INJECTION_COUNTER >> 4
            self.injection_counters.store(group, counter, register & 0xF, value)
        elif register >= Register.RECEPTION_COUNTER:
            counter = register - Register.RECEPTION_COUNTER >> 4
            self.reception_counters.store(group, counter, register & 0xF, value)
        elif Register.RECEPTION_FIFO <= register < Register.RECEPTION_FIFO + 0x90:
            fifo = self._reception_fifo(group, register - Register.RECEPTION_FIFO >> 4)
            fifo.store(register & 0xF, value)
            self._retry_refused()
        elif Register.INJECTION_COUNTER_CONTROL <= register < Register.INJECTION_COUNTER:
            self.injection_counters.store_control(group, register - Register.INJECTION_COUNTER_CONTROL, value)
        elif register >= Register.RECEPTION_COUNTER_CONTROL:
            self.reception_counters.store_control(group, register - Register.RECEPTION_COUNTER_CONTROL, value)
        else:
            self._store_status(group, register, value)

    def dcr_read(self, offset: int) -> int:
        """Read a device control register."""
        return self._control.get(offset, 0)

    def dcr_write(self, offset: int, value: int) -> None:
        """Write a device control register."""
        self._control[offset] = value
        if Dcr.INJECTION_FIFO_ENABLE <= offset < Dcr.INJECTION_FIFO_ENABLE + reg.GROUPS:
            self._kick_group(offset - Dcr.INJECTION_FIFO_ENABLE)
        elif offset == Dcr.RECEPTION_FIFO_ENABLE:
            self._retry_refused()
        elif Dcr.INJECTION_FIFO_MAP <= offset < Dcr.INJECTION_FIFO_MAP + 8 * reg.GROUPS:
            first = 4 * (offset - Dcr.INJECTION_FIFO_MAP)
            self.injection.network_fifos[first : first + 4] = (value & 0xFFFF_FFFF).to_bytes(4, "big")
        elif Dcr.INJECTION_FIFO_INTERRUPT <= offset <= Dcr.RECEPTION_COUNTER_INTERRUPT + 3:
            self._any_interrupt_enabled = any(
                self._control.get(register, 0)
                for register in range(Dcr.INJECTION_FIFO_INTERRUPT, Dcr.RECEPTION_COUNTER_INTERRUPT + 4)
            )
            self._update_fifo_lines()
            self._update_counter_lines()

    # -- typed access

    def setup_injection_fifo(self, group: int, fifo: int, ring: Ring, network_fifos: int = 0x80) -> None:
        """Point an injection FIFO at an empty ring of descriptors and enable it.

        Parameters
        ----------
        group, fifo
            Which FIFO.
        ring
            Its slots in memory.
        network_fifos
            Torus injection FIFOs it may use; torus FIFO 0 is the leftmost of eight bits.
        """
        index = Dcr.INJECTION_FIFO_MAP + 8 * group + fifo // 4
        shift = 24 - 8 * (fifo % 4)
        self.dcr_write(index, self.dcr_read(index) & ~(0xFF << shift) | network_fifos << shift)
        self._setup(self._injection_fifo(group, fifo), ring)
        enable = Dcr.INJECTION_FIFO_ENABLE + group
        self.dcr_write(enable, self.dcr_read(enable) | reg.bit(fifo))
        self._active[group] |= reg.bit(fifo)

    def setup_reception_fifo(
        self, group: int, fifo: int, ring: Ring, reception_groups: tuple[int, ...]
    ) -> None:
        """Point a reception FIFO at an empty ring, enable it, and send reception groups to it."""
        self._setup(self._reception_fifo(group, fifo), ring)
        for each in reception_groups:
            for word in range(2):
                self._control[Dcr.RECEPTION_FIFO_MAP + 2 * each + word] = (group * 8 + fifo) * 0x0101_0101
        enabled = self.dcr_read(Dcr.RECEPTION_FIFO_ENABLE)
        self.dcr_write(Dcr.RECEPTION_FIFO_ENABLE, enabled | reg.bit(group * reg.RECEPTION_FIFOS + fifo))

    def enable_counters(self, group: int) -> None:
        """Let all injection and reception counters of a group count."""
        for counter in range(group * reg.COUNTERS, (group + 1) * reg.COUNTERS):
            self.injection_counters.enable(counter)
            self.reception_counters.enable(counter)

    def advance_tail(self, group: int, fifo: int, descriptors: int = 1) -> None:
        """Tell the engine of descriptors written at the tail of an injection FIFO."""
        target = self._injection_fifo(group, fifo)
        target.tail = target.advance(target.tail, descriptors * reg.DESCRIPTOR_BYTES >> 4)
        self.injection.kick(target.index)

    def arm_injection_counter(self, counter: int, length: int) -> None:
        """Add a message to an injection counter, given as ``group * 64 + counter``."""
        self.injection_counters.increment(counter, length)

    def arm_reception_counter(self, counter: int, length: int) -> None:
        """Add a message to a reception counter, given as ``group * 64 + counter``."""
        self.reception_counters.increment(counter, length)

    def when_injected(self, counter: int) -> Event:
        """An event that happens when an injection counter next reaches zero; at once if it is zero."""
        return self._when(self._injected, counter, self.injection_counters)

    def when_received(self, counter: int) -> Event:
        """An event that happens when a reception counter next reaches zero; at once if it is zero."""
        return self._when(self._received, counter, self.reception_counters)

    # -- FIFOs

    def _injection_fifo(self, group: int, fifo: int) -> Fifo:
        return self.injection.fifos[group * reg.INJECTION_FIFOS + fifo]

    def _reception_fifo(self, group: int, fifo: int) -> Fifo:
        if fifo == reg.HEADER_FIFO:
            return self.reception.header_fifos[group]
        return self.reception.fifos[group * reg.RECEPTION_FIFOS + fifo]

    @staticmethod
    def _setup(fifo: Fifo, ring: Ring) -> None:
        fifo.start = fifo.head = fifo.tail = ring.start_pointer
        fifo.end = ring.end_pointer

    def _injection_enabled(self, index: int) -> bool:
        group, fifo = divmod(index, reg.INJECTION_FIFOS)
        return bool(
            self._control.get(Dcr.INJECTION_FIFO_ENABLE + group, 0) & self._active[group] & reg.bit(fifo)
        )

    def _reception_enabled(self, index: int) -> bool:
        return bool(self._control.get(Dcr.RECEPTION_FIFO_ENABLE, 0) & reg.bit(index))

    def _reception_fifo_for(self, reception_group: int, port: int) -> int:
        word = self._control[Dcr.RECEPTION_FIFO_MAP + 2 * reception_group + port // 4]
        return word >> (24 - 8 * (port % 4)) & 0x1F

    def _reset_maps(self) -> None:
        for word in range(8 * reg.GROUPS):
            self._control[Dcr.INJECTION_FIFO_MAP + word] = 0x8080_8080
        for word in range(2 * reg.GROUPS):
            self._control[Dcr.RECEPTION_FIFO_MAP + word] = (word // 2 * 8) * 0x0101_0101

    def _kick_group(self, group: int) -> None:
        for fifo in range(reg.INJECTION_FIFOS):
            self.injection.kick(group * reg.INJECTION_FIFOS + fifo)

    def _retry_refused(self) -> None:
        if self.reception.refused:
            self.reception.refused = False
            self._retry_copies()
            self._port.resume()

    def _copy_locally(self, packet: DmaPacket) -> None:
        call_after(self._environment, self._memory_latency, self._receive_local, packet)

    def _receive_local(self, packet: DmaPacket) -> None:
        # There is no network to hold a refused packet: the copy stands still, and those behind it.
        self._stalled_copies.append(packet)
        self._retry_copies()

    def _retry_copies(self) -> None:
        while self._stalled_copies and self.reception.receive(self._stalled_copies[0], LOCAL_PORT):
            self._stalled_copies.popleft()

    # -- status words and interrupts

    def _load_status(self, group: int, register: int) -> int:
        injection = self.injection.fifos[group * reg.INJECTION_FIFOS : (group + 1) * reg.INJECTION_FIFOS]
        word = register >> 2 & 1
        received = self.reception.header_fifos if word else self.reception.fifos
        if register == Register.INJECTION_NOT_EMPTY:
            return _bits(fifo.holds for fifo in injection)
        if register == Register.INJECTION_AVAILABLE:
            return _bits(fifo.free > reg.DESCRIPTOR_BYTES >> 4 for fifo in injection)
        if register == Register.INJECTION_THRESHOLD:
            return self._injection_threshold[group]
        if register == Register.INJECTION_ACTIVE:
            return self._active[group]
        if register & ~4 == Register.RECEPTION_NOT_EMPTY:
            return _bits(fifo.holds for fifo in received)
        if register & ~4 == Register.RECEPTION_AVAILABLE:
            return _bits(fifo.free > reg.PACKET_SLOT_BYTES >> 4 for fifo in received)
        if register & ~4 == Register.RECEPTION_THRESHOLD:
            return self._reception_threshold[word]
        raise LookupError(f"DMA register {register:#x} cannot be read")

    def _store_status(self, group: int, register: int, value: int) -> None:
        if register == Register.INJECTION_THRESHOLD_CLEAR:
            self._injection_threshold[group] &= ~value
        elif register == Register.INJECTION_ACTIVATE:
            self._active[group] |= value
            self._kick_group(group)
        elif register == Register.INJECTION_DEACTIVATE:
            self._active[group] &= ~value
        elif register & ~4 == Register.RECEPTION_THRESHOLD_CLEAR:
            self._reception_threshold[register >> 2 & 1] &= ~value
        else:
            raise LookupError(f"DMA register {register:#x} cannot be written")
        self._update_fifo_lines()

    def _descriptor_done(self, fifo: Fifo) -> None:
        group, index = divmod(fifo.index, reg.INJECTION_FIFOS)
        if fifo.free >= self.dcr_read(Dcr.INJECTION_THRESHOLD):
            self._injection_threshold[group] |= reg.bit(index)
            self._update_fifo_lines()
        self._retry_refused()

    def _fifo_packet(self, fifo: Fifo) -> None:
        """A packet has arrived: note it if free space is at or below the threshold of the FIFO's type."""
        self.on_activity()
        kind = bool(self.dcr_read(Dcr.RECEPTION_FIFO_TYPE) & reg.bit(fifo.index))
        if fifo.free <= self.dcr_read(Dcr.RECEPTION_THRESHOLD + kind):
            self._reception_threshold[0] |= reg.bit(fifo.index)
            self._update_fifo_lines()

    def _update_fifo_lines(self) -> None:
        if not self._any_interrupt_enabled and not self._lines_up:
            return
        for line in range(4):
            injection = self._injection_threshold[line] & self.dcr_read(Dcr.INJECTION_FIFO_INTERRUPT + line)
            self._drive(Interrupt.INJECTION_FIFO_THRESHOLD + line, bool(injection))
            reception = self._reception_threshold[0] & self.dcr_read(Dcr.RECEPTION_FIFO_INTERRUPT + line)
            self._drive(Interrupt.RECEPTION_FIFO_THRESHOLD + line, bool(reception))

    def _update_counter_lines(self) -> None:
        if not self._any_interrupt_enabled and not self._lines_up:
            return
        for counters, first_dcr, first_interrupt in (
            (self.injection_counters, Dcr.INJECTION_COUNTER_INTERRUPT, Interrupt.INJECTION_COUNTER_ZERO),
            (self.reception_counters, Dcr.RECEPTION_COUNTER_INTERRUPT, Interrupt.RECEPTION_COUNTER_ZERO),
        ):
            for line in range(4):
                enabled = self.dcr_read(first_dcr + line)
                up = bool(enabled and counters.subgroups() & enabled)
                self._drive(first_interrupt + line, up)

    def _drive(self, number: int, up: bool) -> None:
        """Drive a line of the interrupt controller; one that is down and stays down costs nothing."""
        if up:
            self._lines_up.add(number)
            self._bic.set_line(number, True)
        elif number in self._lines_up:
            self._lines_up.remove(number)
            self._bic.set_line(number, False)

    def _when(self, waiting: dict[int, list[Event]], counter: int, counters: CounterFile) -> Event:
        event = Event(self._environment)
        if counters.value[counter] == 0:
            event.succeed()
        else:
            waiting.setdefault(counter, []).append(event)
        return event

    def _hit_zero(self, waiting: dict[int, list[Event]], counter: int) -> None:
        for event in waiting.pop(counter, ()):
            event.succeed()
        self.on_activity()


def _bits(flags: Iterable[bool]) -> int:
    word = 0
    for index, flag in enumerate(flags):
        if flag:
            word |= reg.bit(index)
    return word
