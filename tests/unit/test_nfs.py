"""Kittyhawk Linux's files: calls and packets by hand, caches, slots, losses, and the layers of a call."""

import errno
from collections.abc import Callable
from typing import Any

import pytest

from bgsim.datasheet import Datasheet
from bgsim.guests.ethernet import Frame
from bgsim.guests.ethernet_bridge import BridgeParameters, EthernetBridge
from bgsim.guests.nfs_protocol import AnswerMessage, CallMessage, Procedure, Rpc
from bgsim.hardware.io_protocol import Call, Layer
from bgsim.platforms.seam import Code, Now
from bgsim.workloads.io import run
from bgsim.workloads.io_config import IoConfig
from bgsim.workloads.io_detailed import IoProcess
from bgsim.workloads.io_nfs import NfsJob
from bgsim.workloads.io_programs import ProgramCall
from bgsim.workloads.resolved import Partition, ResolvedRun

SHEET = Datasheet.load()
SMALL = SHEET.with_values({"guest.nfs.read_size": "4 KiB", "guest.nfs.write_size": "4 KiB"})
PAIR = Partition("pair", (2, 1, 1), (False,) * 3, 8)

Body = Callable[[Any], Code]


class Bodies(NfsJob):
    """A job in which every node runs a program of its own on the same files."""

    def __init__(
        self,
        *bodies: Body,
        files: dict[str, int] | None = None,
        platform: str = "bare-metal",
        machine: Datasheet = SHEET,
        lost: tuple[int, ...] = (),
    ) -> None:
        self.bodies = bodies
        super().__init__(machine, platform, PAIR, [], len(bodies), "kittyhawk-linux")
        self.server.sizes |= files or {}
        (bridge,) = self._bridges.values()
        drop(bridge, lost)
        self.run()
        self.bridge = bridge

    def _program(self, process: IoProcess) -> Code:
        yield from self.bodies[process.node](process.files)
        process.finished = yield Now()

    def rpcs(self, node: int = 0) -> dict[str, int]:
        return dict(self._clients[node].rpcs)


def drop(bridge: EthernetBridge, numbers: tuple[int, ...]) -> None:
    """Let some frames from the Ethernet get lost."""
    send, count = bridge.send, iter(range(1_000_000))

    def sometimes(frame: Frame) -> None:
        if next(count) not in numbers:
            send(frame)

    bridge.send = sometimes  # type: ignore[method-assign]


def reading(path: str, length: int, found: list[int] | None = None) -> Body:
    def body(files: Any) -> Code:
        descriptor = yield from files.open(path)
        value = yield from files.read(descriptor, length)
        closed = yield from files.close(descriptor)
        if found is not None:
            found.extend((descriptor, value, closed))

    return body


def writing(path: str, length: int, create: bool = True) -> Body:
    def body(files: Any) -> Code:
        descriptor = yield from files.open(path, create=create)
        yield from files.write(descriptor, length)
        yield from files.close(descriptor)

    return body


def both(*bodies: Body) -> Body:
    def body(files: Any) -> Code:
        for each in bodies:
            yield from each(files)

    return body


# -- messages, by the protocol


@pytest.mark.parametrize(
    ("procedure", "call", "answer"),
    [
        (Procedure.GETATTR, 80 + 36, 32 + 84),
        (Procedure.LOOKUP, 80 + 36 + 4 + 4, 32 + 36 + 88 + 88),  # a name of 1 to 4 bytes
        (Procedure.ACCESS, 80 + 36 + 4, 32 + 88 + 4),
        (Procedure.READ, 80 + 36 + 8 + 4, 32 + 88 + 4 + 4 + 4 + 12),  # 10 bytes, padded
        (Procedure.WRITE, 80 + 36 + 8 + 4 + 4 + 4 + 12, 32 + 116 + 4 + 4 + 8),
        (Procedure.CREATE, 80 + 36 + 4 + 4 + 4 + 28, 32 + 40 + 88 + 116),
        (Procedure.COMMIT, 80 + 36 + 8 + 4, 32 + 116 + 8),
    ],
)
def test_messages_are_as_long_as_the_protocol_says(procedure: Procedure, call: int, answer: int) -> None:
    rpc = Rpc(0, procedure, "/a/file", length=10, exists=True)
    assert (CallMessage(rpc).bytes, AnswerMessage(rpc).bytes) == (call, answer)


# -- calls and packets, by hand


@pytest.mark.parametrize("platform", ["bare-metal", "virtual-machine"])
def test_packets_of_a_small_read_are_those_counted_by_hand(platform: str) -> None:
    values: list[int] = []
    job = Bodies(reading("/d/f", 20_000, values), files={"/d/f": 10_240}, platform=platform)
    assert values == [3, 10_240, 0]
    assert job.rpcs() == {"access": 3, "lookup": 2, "read": 1}  # root, directory and file
    # Calls of 120 to 128 B: with 52 B of TCP and IP and 14 B of Ethernet, one packet of 240 B each. The
    # answer to the read has 10,372 B in 8 segments, of which every second is acknowledged: one packet each.
    assert job.bridge.packets_received == 6 + 4
    # ACCESS 1 packet, LOOKUP (244 B) 2; of the read, 7 segments of 1,448 B in 7 packets, one of 236 B in 2.
    assert job.bridge.packets_sent == 3 * 1 + 2 * 2 + 7 * 7 + 2
    assert (job.bridge.frames_out, job.bridge.frames_in) == (10, 13)
    assert job.server.bytes_read == 10_240


@pytest.mark.parametrize(
    ("length", "calls"),
    [
        (32_768, {"write": 1}),  # alone: stable at once
        (32_769, {"write": 2, "commit": 1}),
        (65_537, {"write": 3, "commit": 1}),
    ],
)
def test_a_written_file_is_sent_when_it_is_closed(length: int, calls: dict[str, int]) -> None:
    job = Bodies(writing("/d/f", length))
    assert job.rpcs() == {"access": 2, "lookup": 2, "create": 1, **calls}
    assert job.server.bytes_written == job.server.sizes["/d/f"] == length


def test_calls_fail_as_posix_says() -> None:
    values: list[int] = []

    def body(files: Any) -> Code:
        for call in (
            files.open("/d/none"),
            files.stat("/d/none"),
            files.open("/d/" + "x" * 256),
            files.read(3, 1),
            files.write(3, 1),
            files.lseek(3, 1),
            files.close(3),
        ):
            value = yield from call
            values.append(value)

    Bodies(body)
    assert values == [-errno.ENOENT] * 2 + [-errno.ENAMETOOLONG] + [-errno.EBADF] * 4


# -- caches


def test_what_is_in_the_page_cache_is_not_read_again() -> None:
    job = Bodies(both(reading("/f", 50_000), reading("/f", 50_000)), files={"/f": 50_000})
    # the second open asks for attributes, and nothing else
    assert job.rpcs() == {"access": 2, "lookup": 1, "read": 2, "getattr": 1}
    assert job.server.bytes_read == 50_000


def test_a_file_that_another_node_has_written_is_read_again() -> None:
    def later(files: Any) -> Code:
        """Read, look at attributes until the other node has written, read."""
        yield from reading("/f", 10_000)(files)
        size = 0
        while size < 20_000:
            size = yield from files.stat("/f")
        yield from reading("/f", 20_000)(files)

    machine = SHEET.with_values({"guest.nfs.attribute_cache": "0 s"})
    job = Bodies(later, writing("/f", 20_000), files={"/f": 10_000}, machine=machine)
    assert job.server.bytes_read == 10_000 + 20_000


def test_attributes_are_believed_for_three_seconds() -> None:
    def body(files: Any) -> Code:
        for _ in range(3):
            yield from files.stat("/f")

    assert "getattr" not in Bodies(body, files={"/f": 1}).rpcs()
    machine = SHEET.with_values({"guest.nfs.attribute_cache": "0 s"})
    assert Bodies(body, files={"/f": 1}, machine=machine).rpcs()["getattr"] == 2


def test_the_answer_to_a_read_confirms_attributes() -> None:
    def body(files: Any) -> Code:
        descriptor = yield from files.open("/f")
        for _ in range(5):
            yield from files.read(descriptor, 8192)

    # the first read waits 8 ms for the disk; then the file's attributes have just come with the data
    machine = SHEET.with_values({"guest.nfs.attribute_cache": "5 ms"})
    assert "getattr" not in Bodies(body, files={"/f": 40_960}, machine=machine).rpcs()


def test_a_read_behind_a_write_has_what_was_written() -> None:
    values: list[int] = []

    def body(files: Any) -> Code:
        descriptor = yield from files.open("/f")
        yield from files.lseek(descriptor, 100)
        yield from files.write(descriptor, 10)  # within a page that is not here
        yield from files.lseek(descriptor, 0)
        value = yield from files.read(descriptor, 10_000)
        values.append(value)
        yield from files.close(descriptor)

    job = Bodies(body, files={"/f": 10_000})
    assert values == [10_000]
    assert job.rpcs() == {"access": 2, "lookup": 1, "write": 1, "read": 1}


# -- several calls under way


def most_under_way(machine: Datasheet) -> int:
    """Greatest number of calls that the server had not answered, reading 40,000 B in pieces of a page."""
    most = 0

    class Watched(Bodies):
        def _to_client(self, frame: Frame) -> None:
            nonlocal most
            most = max(most, self._clients[0].under_way)
            super()._to_client(frame)

    Watched(reading("/f", 40_000), files={"/f": 40_000}, machine=machine)
    return most


@pytest.mark.parametrize(("slots", "most"), [(1, 1), (4, 4), (16, 10)])
def test_no_more_calls_are_under_way_than_there_are_slots(slots: int, most: int) -> None:
    assert most_under_way(SMALL.with_values({"guest.nfs.slots": slots})) == most  # 10 READs


@pytest.mark.parametrize(("ahead", "reads"), [(0, 5), (15, 2)])
def test_reading_ahead_asks_in_whole_pieces(ahead: int, reads: int) -> None:
    def body(files: Any) -> Code:
        descriptor = yield from files.open("/f")
        for _ in range(5):
            yield from files.read(descriptor, 8192)

    machine = SHEET.with_values({"guest.nfs.read_ahead": ahead})
    assert Bodies(body, files={"/f": 40_960}, machine=machine).rpcs()["read"] == reads


# -- losses


def test_a_lost_frame_is_sent_again() -> None:
    values: list[int] = []
    whole = Bodies(reading("/f", 40_000), files={"/f": 40_000})
    job = Bodies(reading("/f", 40_000, values), files={"/f": 40_000}, lost=(4, 45))
    assert values == [3, 40_000, 0]
    assert job.counts()["retransmissions"] == 2  # by duplicates, and the repeated one by the timeout
    assert job.processes[0].finished > SHEET.cycles("guest.tcp.retransmission_timeout")
    assert whole.counts()["retransmissions"] == 0
    assert job.rpcs() == whole.rpcs()


def test_a_sender_waits_twice_as_long_each_time() -> None:
    """The answer to the read is 6 frames, 3 to 8; they are lost, and lost again with an acknowledgement."""
    job = Bodies(reading("/f", 8_000), files={"/f": 8_000}, lost=tuple(range(3, 16)))
    assert job._nfs.retransmissions == 2
    timeout = SHEET.cycles("guest.tcp.retransmission_timeout")
    assert 3 * timeout < job.processes[0].finished < 3.2 * timeout


# -- time


def test_layers_of_a_call_equal_their_closed_forms() -> None:
    """The difference that one more GETATTR makes: one packet there, one back."""

    def stats(count: int) -> Body:
        def body(files: Any) -> Code:
            for _ in range(count):
                yield from files.stat("/f")

        return body

    machine = SHEET.with_values({"guest.nfs.attribute_cache": "0 s"})
    few, many = (Bodies(stats(count), files={"/f": 1}, machine=machine) for count in (1, 2))
    layers = [b - a for a, b in zip(few.processes[0].layers, many.processes[0].layers, strict=True)]
    bridge = BridgeParameters.from_datasheet(machine)
    network = few.nodes.collective
    (address,) = few._bridges
    assert layers[Layer.SERVER] == machine.cycles("file_server.metadata_service")
    wires = bridge.wire_cycles(116 + 52) + bridge.wire_cycles(116 + 52)
    assert layers[Layer.ETHERNET] == machine.cycles("file_server.latency") + wires
    packets = bridge.receive_cycles + bridge.send_cycles
    assert layers[Layer.CIOD] == packets + 2 * machine.cycles("io_node.forward_cycles")
    hops = network.hops(0, address)
    assert layers[Layer.COLLECTIVE] == 2 * network.packet_latency_cycles(hops)


def found(platform: str = "bare-metal", **settings: Any) -> Any:
    config = IoConfig.model_validate({"kind": "io", "tier": "detailed", **settings})
    return run(ResolvedRun(SMALL, SMALL, PAIR, platform, "kittyhawk-linux", config, 1, 0))


@pytest.mark.parametrize(
    "settings",
    [
        {"pattern": "write", "size": "6 KiB", "processes": 1},
        {"pattern": "shared-file-startup", "size": "6 KiB"},
    ],
)
def test_both_platforms_make_the_same_calls_and_exits_make_the_difference(settings: dict[str, Any]) -> None:
    native, virtual = (found(platform, **settings) for platform in ("bare-metal", "virtual-machine"))
    assert native.details["rpcs"] == virtual.details["rpcs"]
    assert native.metrics.get("bytes") == virtual.metrics.get("bytes")
    for outcome in (native, virtual):
        assert sum(outcome.attribution.values()) == outcome.metrics["cycles_total"]
        assert outcome.details["retransmissions"] == outcome.details["packets_lost"] == 0
    assert native.metrics["exits_total"] == 0
    packets = virtual.details["collective_packets"]
    assert virtual.metrics["exits_ipc"] > 17 * (packets["to_io_nodes"] + packets["from_io_nodes"])
    assert virtual.metrics["elapsed_s"] > 2 * native.metrics["elapsed_s"]


def test_a_storm_reads_the_file_for_every_node_and_from_disk_once() -> None:
    outcome = found(pattern="shared-file-startup", size="8 KiB")
    assert outcome.metrics["bytes"] == 2 * 8 * 1024
    assert outcome.details["rpcs"]["read"] == 2 * 2
    disk = SHEET.cycles("file_server.disk_latency")
    assert disk < outcome.metrics["cycles_total"] < 2 * disk


def test_the_workload_counts_its_calls() -> None:
    job = NfsJob(SHEET, "bare-metal", PAIR, [ProgramCall(Call.STAT)], guest="kittyhawk-linux")
    job.run()
    assert job.counts()["rpcs"] == {"access": 6, "lookup": 4}
    assert [len(process.latencies) for process in job.processes] == [1, 1]
