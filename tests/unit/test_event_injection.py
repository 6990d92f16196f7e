"""When a guest that sits idle in a virtual machine is handed an event that came while it could take none."""

from __future__ import annotations

import simpy

from bgsim.datasheet import Datasheet
from bgsim.guests.kittyhawk import KittyhawkLinux
from bgsim.hardware.node import build_nodes
from bgsim.platforms.seam import Code, Now, Wait
from bgsim.platforms.virtualmachine import VirtualMachine
from bgsim.profiles.program import TRACES, load


class Listening(KittyhawkLinux):
    """Notes when its handlers begin and end; an external event comes during each timer interrupt."""

    vcpu = None

    def timer_interrupt(self) -> Code:
        yield from super().timer_interrupt()
        self.vcpu.event_pending = True
        self.timer_ended = yield Now()

    def external_interrupt(self) -> Code:
        self.vcpu.event_pending = False
        self.external_began = yield Now()


def test_the_return_from_a_handler_traps_and_the_next_event_follows_at_once() -> None:
    machine = Datasheet.load()

    def main() -> Code:
        yield Wait()
        yield Wait()

    environment = simpy.Environment()
    node = build_nodes(environment, machine, (1, 1, 1), (False, False, False)).nodes[0]
    guest = Listening(machine, load(TRACES["lcc"]), main, "lcc")
    core = VirtualMachine(environment, machine, guest, node)
    guest.vcpu = core.vcpu
    environment.run(core.process)
    assert core.vcpu.timer_interrupts >= 1
    assert guest.external_began == guest.timer_ended
