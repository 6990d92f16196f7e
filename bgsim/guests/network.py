"""Kittyhawk Linux with its network: interrupts to softirq to sockets, and system calls the other way.

Received frames wait in the kernel's queue for the softirq, which runs behind the interrupt handler
with interrupts on; frames for a socket that its process has locked wait for the process to release
it. A process that must wait lets the idle loop run, which spins without trapping.

Left out: routing and ARP, more than one socket, other processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping
from typing import Any, Protocol

from bgsim.datasheet import Datasheet
from bgsim.guests.ethernet import EthernetDriver, Frame, end_interrupt, find_interrupt
from bgsim.guests.kittyhawk import KittyhawkLinux
from bgsim.guests.network_paths import NetworkPaths
from bgsim.guests.zeptoos import ZeptoOs, ZeptoOsBigMemory
from bgsim.platforms.seam import Code, Now, Request, SetInterrupts, Wait
from bgsim.profiles.program import Program, kernel_program


class Socket(Protocol):
    """What the kernel asks of a socket."""

    def arrived(self, packet: Any) -> Code:
        """Take a packet, in the softirq."""

    def sent(self, frame: Frame) -> None:
        """The driver has freed a frame's buffer."""

    def timer(self, now: int) -> Code:
        """Look at timers, in the softirq after a timer interrupt."""


class NetworkLinux(KittyhawkLinux):
    """Kittyhawk Linux with one Ethernet driver and one socket.

    Parameters
    ----------
    driver
        Device part of the Ethernet driver.
    peer
        Node number of the other end.
    mtu_bytes
        Largest IP packet.
    main
        What the guest runs after the driver has been initialised.
    program
        Program whose pages the guest maps; none by default.

    Attributes
    ----------
    on_vector
        Told the time in core cycles whenever an external interrupt reaches its handler.
    """

    def __init__(
        self,
        datasheet: Datasheet,
        driver: EthernetDriver,
        paths: NetworkPaths,
        peer: int,
        mtu_bytes: int,
        main: Callable[[], Code],
        program: Program | None = None,
    ) -> None:
        mapped = kernel_program("netperf", []) if program is None else program
        super().__init__(datasheet, mapped, self._boot, "gcc346", self._external)
        self.irq_pairs_milli = 0  # the network paths bring their own
        self.driver = driver
        self.paths = paths
        self.peer = peer
        self.mtu_bytes = mtu_bytes
        self.socket: Socket | None = None
        self.time = 0  # of the last timer interrupt
        self.interrupts = 0
        self.backlog_dropped = 0
        self.on_vector: Callable[[int], None] = lambda now: None
        self._program = main
        self._queue: deque[Frame] = deque()
        self._queue_max = datasheet.integer("guest.backlog_frames")
        self._in_softirq = False
        driver.on_receive = self._netif_rx
        driver.on_sent = self._frame_sent

    def _boot(self) -> Code:
        yield from self.driver.initialise()
        yield from self._program()

    # -- interrupts

    def _external(self) -> Code:
        self.on_vector((yield Now()))
        self.interrupts += 1
        yield self.paths.interrupt_entry()
        number = yield from find_interrupt()
        if number is None:
            return
        yield from self.driver.interrupt(number)
        yield from end_interrupt(number)
        yield from self._softirq()

    def timer_interrupt(self) -> Code:
        """Timer interrupt, and the timers of the socket."""
        yield from super().timer_interrupt()
        self.time = yield Now()
        yield from self.driver.gather()
        if self.socket is not None and not self._in_softirq:
            self._in_softirq = True
            yield SetInterrupts(True)
            yield from self.socket.timer(self.time)
            yield SetInterrupts(False)
            self._in_softirq = False
            yield from self._softirq()

    def _softirq(self) -> Code:
        if self._in_softirq:
            return
        self._in_softirq = True
        while self._queue:
            # Looked at again with interrupts off: one may come behind the last frame.
            yield SetInterrupts(True)
            while self._queue:
                frame = self._queue.popleft()
                assert self.socket is not None, "a frame came before there was a socket"
                yield from self.socket.arrived(frame.content)
            yield SetInterrupts(False)
        self._in_softirq = False

    def _netif_rx(self, frame: Frame) -> None:
        if len(self._queue) >= self._queue_max:
            self.backlog_dropped += 1
        else:
            self._queue.append(frame)

    def _frame_sent(self, frame: Frame) -> None:
        if self.socket is not None:
            self.socket.sent(frame)

    # -- for sockets

    def transmit(self, ip_bytes: int, packet: Any) -> Generator[Request, Any, bool]:
        """Hand a packet to the driver; whether it was taken."""
        taken = yield from self.driver.transmit(Frame(self.peer, ip_bytes, packet))
        return bool(taken)

    def block(self, condition: Callable[[], bool]) -> Code:
        """Put the process to sleep until something holds."""
        if condition():
            return
        yield self.paths.work(self.paths.block // 2)
        while not condition():
            yield Wait()
        yield self.paths.work(self.paths.block - self.paths.block // 2)


class NetworkZeptoOs(NetworkLinux, ZeptoOs):
    """ZeptoOS with the same driver: the two kernels are of one age and for one machine.

    ZeptoOS itself forwards IP packets to the I/O node, by a daemon; between compute nodes it has no driver
    of its own.
    """


class NetworkBigMemory(NetworkLinux, ZeptoOsBigMemory):
    """The same, with the memory of the job's program mapped statically."""


NETWORK_LINUX: Mapping[str, type[NetworkLinux]] = {
    "kittyhawk-linux": NetworkLinux,
    "zeptoos": NetworkZeptoOs,
    "zeptoos-bigmemory": NetworkBigMemory,
}
"""The guests with a network, by name."""
