"""What stands behind the I/O nodes: file servers, and the times an operation takes there.

Opens and stats go to metadata servers, reads and writes to data servers; both are queues. The first read of
a file comes from disk, and the rest of it is read ahead; what is read again is in memory. A write is done
when the server has it. Close and lseek never come here.

Left out: directories, striping (any data server can serve any read), locks between writers of one file, and
the way from memory to disk. Nobody published what stood behind any given measurement: all its numbers are
guesses with ranges (``bgsim datasheet 'file_server.*'``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from bgsim.datasheet import Datasheet
from bgsim.hardware.io_protocol import METADATA, Call
from bgsim.hardware.station import Station


@dataclass(frozen=True, slots=True)
class ServerParameters:
    """Times of the file servers, in core cycles.

    Attributes
    ----------
    metadata_servers, metadata_cycles, data_servers, data_cycles
        Servers, and an operation's time in one.
    server_cycles
        Per byte of file data.
    disk_cycles
        First read of a file.
    """

    metadata_servers: int
    metadata_cycles: int
    data_servers: int
    data_cycles: int
    server_cycles: Fraction
    disk_cycles: int

    @classmethod
    def from_datasheet(cls, sheet: Datasheet) -> ServerParameters:
        """The machine's."""
        return cls(
            metadata_servers=sheet.integer("file_server.metadata_servers"),
            metadata_cycles=sheet.cycles("file_server.metadata_service"),
            data_servers=sheet.integer("file_server.data_servers"),
            data_cycles=sheet.cycles("file_server.data_service"),
            server_cycles=Fraction(sheet.integer("core.frequency"))
            / Fraction(sheet.quantity("file_server.bandwidth").value),
            disk_cycles=sheet.cycles("file_server.disk_latency"),
        )

    def service_cycles(self, call: Call, length: int) -> int:
        """Time an operation keeps a server."""
        if call in METADATA:
            return self.metadata_cycles
        return self.data_cycles + ceil(length * self.server_cycles)


@dataclass(frozen=True, slots=True)
class IoParameters:
    """Times and sizes of function-shipped I/O behind the collective network, in core cycles and bytes.

    Attributes
    ----------
    server
        The file servers'.
    payload_bytes
        File data in a packet.
    receive_cycles, send_cycles
        Of the daemon, per packet.
    threads
        Whether the daemon is one process with threads: answers leave from another core than requests come to.
    message_cycles
        Of the daemon, per request and per answer.
    proxy_cycles, proxy_cores
        Per call, and cores that the proxies share.
    copy_cycles
        Per byte of file data.
    rpc_bytes
        Beside the data of a message on the Ethernet.
    ethernet_cycles
        Per byte.
    file_cache
        Whether the I/O node keeps what it has read of shared files.
    latency_cycles
        There and back.
    """

    server: ServerParameters
    threads: bool
    payload_bytes: int
    receive_cycles: int
    send_cycles: int
    message_cycles: int
    proxy_cycles: int
    proxy_cores: int
    copy_cycles: Fraction
    rpc_bytes: int
    ethernet_cycles: Fraction
    file_cache: bool
    latency_cycles: int

    @classmethod
    def from_datasheet(cls, sheet: Datasheet, daemon: str = "ciod") -> IoParameters:
        """The machine's.

        Parameters
        ----------
        daemon
            ``ciod``: one daemon with a proxy process for each process of the job; ``zoid``: threads of one.
        """
        frequency = sheet.integer("core.frequency")
        return cls(
            server=ServerParameters.from_datasheet(sheet),
            threads=daemon == "zoid",
            payload_bytes=sheet.integer("ciod.packet_payload"),
            receive_cycles=sheet.cycles("ciod.receive_cycles"),
            send_cycles=sheet.cycles("ciod.send_cycles"),
            message_cycles=sheet.cycles(f"{daemon}.message_cycles"),
            proxy_cycles=sheet.cycles("ciod.proxy_cycles"),
            proxy_cores=sheet.integer("io_node.proxy_cores"),
            copy_cycles=Fraction(sheet.quantity("io_node.copy_cycles_per_byte").value),
            rpc_bytes=sheet.integer("io_node.rpc_bytes"),
            ethernet_cycles=Fraction(frequency) / Fraction(sheet.quantity("ethernet.rate").value),
            file_cache=sheet.flag("io_node.file_cache"),
            latency_cycles=sheet.cycles("file_server.latency"),
        )

    def wire_cycles(self, length: int) -> int:
        """Time of a message with so much data on the I/O node's Ethernet."""
        return ceil((length + self.rpc_bytes) * self.ethernet_cycles)

    def copied_cycles(self, length: int) -> int:
        """Core time of so much data on the I/O node."""
        return ceil(length * self.copy_cycles)


class FileServer:
    """The servers, and the files on them.

    Parameters
    ----------
    parameters
        Their times.
    files
        Bytes by path of what is there at the start.
    """

    def __init__(self, parameters: ServerParameters, files: Mapping[str, int]) -> None:
        self.parameters = parameters
        self.sizes = dict(files)
        self.metadata = Station(parameters.metadata_servers)
        self.data = Station(parameters.data_servers)
        self.bytes_read = self.bytes_written = 0
        self.operations = 0
        self._from_disk_at: dict[str, int] = {}

    def serve(self, now: int, call: Call, path: str, length: int) -> int:
        """Queue an operation that arrives now; returns when it is done, in core cycles."""
        self.operations += 1
        cycles = self.parameters.service_cycles(call, length)
        if call in METADATA:
            return self.metadata.serve(now, cycles)
        if call == Call.WRITE:
            self.bytes_written += length
            return self.data.serve(now, cycles)
        self.bytes_read += length
        if path in self._from_disk_at:
            return self.data.serve(now, cycles, self._from_disk_at[path])
        end = self.data.serve(now, cycles + self.parameters.disk_cycles)
        self._from_disk_at[path] = end - cycles
        return end
