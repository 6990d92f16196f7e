"""The messaging library as guest code: what arrives, what it costs on either platform, and why."""

from typing import Any

import pytest

from bgsim.datasheet import Datasheet
from bgsim.guests.cnk import SEQUENCES, Cnk
from bgsim.guests.messages import Send
from bgsim.platforms import layout
from bgsim.platforms.seam import Code, Now
from bgsim.workloads.detailed_job import Job, Process
from bgsim.workloads.resolved import Partition

SHEET = Datasheet.load()
MESH = (False, False, False)
PAIR = Partition("pair", (2, 1, 1), MESH)
BOTH = ["bare-metal", "virtual-machine"]
EAGER_MAX = 1200


def run(program: Any, platform: str, partition: Partition = PAIR, sheet: Datasheet = SHEET) -> Job:
    job = Job(sheet, platform, partition, program)
    job.run()
    return job


@pytest.mark.parametrize("platform", BOTH)
def test_messages_arrive_whole_and_in_order(platform: str) -> None:
    sizes = [1, 8, 240, 241, EAGER_MAX, EAGER_MAX, 1]
    received = []

    def program(process: Process) -> Code:
        if process.rank == 0:
            for number, size in enumerate(sizes):
                yield from process.messenger.send(1, size, f"message {number}")
        else:
            while len(received) < len(sizes):
                received.append((yield from process.messenger.receive()))

    run(program, platform)
    assert [(message.source, message.size, message.content) for message in received] == [
        (0, size, f"message {number}") for number, size in enumerate(sizes)
    ]


def test_more_rendezvous_than_there_are_counters() -> None:
    count = 70
    received = []

    def program(process: Process) -> Code:
        messenger = process.messenger
        if process.rank == 0:
            sends: list[Send] = []
            while len(sends) < count:
                sends.append((yield from messenger.send(1, 5000, len(sends))))
            for send in sends:
                yield from messenger.finish(send)
            assert all(send.done for send in sends)
        else:
            while len(received) < count:
                received.append((yield from messenger.receive()).content)

    run(program, "bare-metal")
    assert sorted(received) == list(range(count))


def test_the_reception_ring_goes_round() -> None:
    """More packets, and of more sizes, than the ring has room for."""
    sizes = [(7 * number) % EAGER_MAX + 1 for number in range(700)]
    received = []

    def program(process: Process) -> Code:
        if process.rank == 0:
            for number, size in enumerate(sizes):
                yield from process.messenger.send(1, size, number)
        else:
            while len(received) < len(sizes):
                received.append((yield from process.messenger.receive()).content)

    run(program, "bare-metal")
    assert received == list(range(700))


def ping_pong(size: int, rounds: int, times: list[int]) -> Any:
    def program(process: Process) -> Code:
        messenger = process.messenger
        for _ in range(rounds):
            begun = yield Now()
            if process.rank == 0:
                yield from messenger.send(1, size)
                yield from messenger.receive()
                times.append((yield Now()) - begun)
            else:
                yield from messenger.receive()
                yield from messenger.send(0, size)

    return program


def exits_to_vmm(process: Process) -> int:
    exits = {row.cause: row.count for row in process.core.exits()}
    return exits["PPC_HVM_DTLB_MISS_DEVICE"]


def test_an_eager_message_in_a_virtual_machine_is_counted_exits() -> None:
    """One store to send; to receive, a poll that finds it, two FIFO pointers, and the polls before."""
    times: list[int] = []
    jobs = [run(ping_pong(8, rounds, times), "virtual-machine") for rounds in (4, 8)]
    few, many = (exits_to_vmm(job.processes[0]) for job in jobs)
    per_round = (many - few) / 4
    assert per_round == pytest.approx(1 + 3 + 2, abs=1)  # and two polls that find nothing yet
    assert all(process.messenger.accesses.posting == 8 for process in jobs[1].processes)
    assert all(process.messenger.accesses.handling == 16 for process in jobs[1].processes)


@pytest.mark.parametrize("platform", BOTH)
@pytest.mark.parametrize("size", [8, 5000])
def test_no_tlb_misses_once_warm(platform: str, size: int) -> None:
    misses = []
    for rounds in (3, 12):
        job = run(ping_pong(size, rounds, []), platform)
        misses.append([process.core.counters()["tlb_misses"] for process in job.processes])
    assert misses[0] == misses[1]
    assert max(misses[0]) < 10


@pytest.mark.parametrize("size", [8, 700, 5000])
def test_a_virtual_machine_that_costs_nothing_takes_the_native_time(
    size: int, free_machine: Datasheet
) -> None:
    times: dict[str, list[int]] = {name: [] for name in BOTH}
    for name in BOTH:
        run(ping_pong(size, 6, times[name]), name, sheet=free_machine)
    # The start differs by fractions of an instruction, which are carried through the run.
    for native, virtual in zip(times["bare-metal"], times["virtual-machine"], strict=True):
        assert abs(native - virtual) <= 4
    assert abs(sum(times["bare-metal"]) - sum(times["virtual-machine"])) <= 10


@pytest.mark.parametrize("operation", ["barrier", "allreduce", "broadcast"])
@pytest.mark.parametrize("platform", BOTH)
def test_collective_operations_end_everywhere(operation: str, platform: str) -> None:
    partition = Partition("six", (3, 2, 1), MESH)
    arguments = {"barrier": (), "allreduce": (1000,), "broadcast": (3000, 4)}[operation]

    def program(process: Process) -> Code:
        for _ in range(2):
            yield from getattr(process.collectives, operation)(*arguments)
            process.results.append((yield Now()))

    job = run(program, platform, partition)
    assert all(len(process.results) == 2 for process in job.processes)
    devices = [node.collective for node in job.nodes.nodes.values()]
    assert all(device is not None and device.channels[0].reception_used == 0 for device in devices)


def test_nobody_leaves_a_barrier_before_all_have_come() -> None:
    entered: list[int] = []
    left: list[int] = []

    def program(process: Process) -> Code:
        yield process.messenger.code.cycles(5000 * (process.rank + 1))
        entered.append((yield Now()))
        yield from process.collectives.barrier()
        left.append((yield Now()))

    run(program, "bare-metal", Partition("five", (5, 1, 1), MESH))
    assert min(left) > max(entered)
    assert max(left) - max(entered) < 2000


def test_a_packet_through_the_collective_network_is_34_accesses() -> None:
    """A header and 16 quads in, as many out; each is an exit, and so is each look at the status."""
    counts = []
    for size in (256, 1024):

        def program(process: Process, size: int = size) -> Code:
            yield from process.collectives.allreduce(size)

        job = run(program, "virtual-machine")
        counts.append(exits_to_vmm(job.processes[0]))
    per_packet = (counts[1] - counts[0]) / 3
    assert 34 + 2 <= per_packet <= 34 + 4


def test_the_kernel_has_no_timer_and_one_sequence() -> None:
    def nothing() -> Code:
        yield from ()

    kernel = Cnk(SHEET, nothing)
    assert kernel.timer_period_cycles == 0
    assert [number for number, each in enumerate(SEQUENCES) if each.instructions] == [layout.SEQ_SYSCALL]
    assert kernel.pinned_entries(512 << 20) == 2
