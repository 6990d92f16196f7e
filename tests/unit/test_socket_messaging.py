"""Messages between programs through sockets, and what is built on them, in the detailed tier."""

from typing import Any

import pytest

from bgsim.datasheet import Datasheet
from bgsim.guests.socket_messaging import SocketMessenger
from bgsim.machine.cost_model import CostModelError, needed
from bgsim.platforms.seam import Code, Now
from bgsim.workloads import characterize
from bgsim.workloads.detailed_job import Job, Process
from bgsim.workloads.resolved import Partition
from bgsim.workloads.support import SOCKET_GUESTS

SHEET = Datasheet.load()
OPEN = (False, False, False)


def run(nodes: int, program: Any, guest: str = "kittyhawk-linux", platform: str = "bare-metal") -> Job:
    job = Job(SHEET, platform, Partition("line", (nodes, 1, 1), OPEN), program, guest=guest)
    job.run()
    return job


def test_messages_arrive_whole_and_in_order() -> None:
    def program(process: Process) -> Code:
        messenger = process.messenger
        if process.rank == 0:
            for number, size in enumerate((1, 5000, 0, 1448)):
                yield from messenger.send(1, size, number)
        else:
            for _ in range(4):
                message = yield from messenger.receive()
                process.results.append((message.content, message.size, message.source))

    job = run(2, program)
    assert job.processes[1].results == [(0, 1, 0), (1, 5000, 0), (2, 0, 0), (3, 1448, 0)]


def test_two_that_write_more_than_fits_to_each_other_do_not_block() -> None:
    size = 3 * SHEET.integer("guest.tcp.window")

    def program(process: Process) -> Code:
        yield from process.messenger.send(1 - process.rank, size)
        message = yield from process.messenger.receive()
        process.results.append(message.size)

    assert [process.results for process in run(2, program).processes] == [[size], [size]]


def test_a_receiver_can_ask_for_one_sender() -> None:
    def program(process: Process) -> Code:
        messenger = process.messenger
        assert isinstance(messenger, SocketMessenger)
        if process.rank == 1:
            for source in (2, 0):
                message = yield from messenger.receive(source)
                process.results.append(message.source)
        else:
            yield from messenger.send(1, 8)

    assert run(3, program).processes[1].results == [2, 0]


@pytest.mark.parametrize("nodes", [2, 3, 5])
def test_nobody_leaves_a_barrier_before_all_have_entered(nodes: int) -> None:
    def program(process: Process) -> Code:
        yield process.messenger.code.cycles(50_000 * process.rank)
        entered = yield Now()
        yield from process.collectives.barrier()
        process.results.append((entered, (yield Now())))

    results = [process.results[0] for process in run(nodes, program).processes]
    assert min(left for _, left in results) > max(entered for entered, _ in results)


def test_an_allreduce_over_sockets_has_two_messages_for_all_but_one() -> None:
    def program(process: Process) -> Code:
        yield from process.collectives.allreduce(8)

    sent = 0
    for process in run(5, program).processes:
        messenger = process.messenger
        assert isinstance(messenger, SocketMessenger)
        envelope = SHEET.integer("mpi.socket_envelope")
        sent += sum(socket.written for socket in messenger.connections.sockets.values()) // (envelope + 8)
    assert sent == 2 * 4


def test_programs_in_big_memory_miss_no_tlb_entry_once_they_are_warm() -> None:
    misses: list[int] = []

    def program(process: Process) -> Code:
        for _ in range(3):
            yield from process.collectives.barrier()
            yield from process.collectives.allreduce(8)
            if process.rank == 0:
                misses.append(process.core.counters()["tlb_misses"])

    run(2, program, "zeptoos-bigmemory")
    assert misses[0] == misses[-1]


# -- cost models


@pytest.mark.parametrize("platform", ["bare-metal", "virtual-machine"])
@pytest.mark.parametrize("guest", ["cnk", "kittyhawk-linux", "zeptoos", "zeptoos-bigmemory"])
def test_cost_models_are_shipped_and_hold_for_the_default_machine(guest: str, platform: str) -> None:
    kept = characterize.shipped_characterisation(platform, guest)
    assert kept is not None
    assert kept.fits(SHEET), f"bgsim characterize --platform {platform} --guest {guest}"
    sockets = guest in SOCKET_GUESTS
    model = kept.model
    parts = (model.put, model.get, model.rendezvous, model.collective, model.barrier)
    assert all((part is None) == sockets for part in parts)


def test_what_a_cost_model_lacks_is_named() -> None:
    kept = characterize.shipped_characterisation("bare-metal", "zeptoos")
    assert kept is not None
    with pytest.raises(CostModelError, match="no barrier network"):
        needed(kept.model.barrier, "barrier network")


def test_a_reaper_is_rare_noise_in_the_cost_model_of_zeptoos() -> None:
    linux, zepto = (
        characterize.shipped_characterisation("bare-metal", name) for name in ("kittyhawk-linux", "zeptoos")
    )
    assert linux is not None
    assert zepto is not None
    (plain,), (reaped,) = linux.model.detours, zepto.model.detours
    assert max(reaped.durations_cycles) > 3 * max(plain.durations_cycles)
    assert min(reaped.weights) / sum(reaped.weights) == pytest.approx(1 / 500, rel=0.05)
