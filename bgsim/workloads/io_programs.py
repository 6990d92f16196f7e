"""The programs of the workload io: which file system calls a process makes, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bgsim.datasheet import Datasheet
from bgsim.hardware.io_protocol import Call
from bgsim.machine.io_program import Step
from bgsim.workloads.io_config import IoConfig


@dataclass(frozen=True, slots=True)
class ProgramCall:
    """One call of the program.

    Attributes
    ----------
    call, length
        What is called; bytes of a read or write.
    file
        Number of the file.
    shared
        Whether all processes use that one.
    """

    call: Call
    length: int = 0
    file: int = 0
    shared: bool = False


def program(config: IoConfig, machine: Datasheet) -> list[ProgramCall]:
    """The calls of one process."""
    return [call for _ in range(config.iterations) for call in _once(config, machine)]


def file_bytes(calls: list[ProgramCall]) -> dict[int, int]:
    """How long each file is that the program reads or only names."""
    sizes: dict[int, int] = {}
    longest: dict[int, int] = {}
    for call in calls:
        if call.call == Call.OPEN:
            sizes[call.file] = 0
        elif call.call == Call.READ:
            sizes[call.file] = sizes.get(call.file, 0) + call.length
        longest[call.file] = max(longest.get(call.file, 0), sizes.get(call.file, 0))
    return longest


def _once(config: IoConfig, machine: Datasheet) -> Iterator[ProgramCall]:
    transfer = int(config.transfer_size.value)
    if config.pattern == "open-close":
        yield ProgramCall(Call.OPEN)
        yield ProgramCall(Call.CLOSE)
    elif config.pattern in ("read", "write"):
        call = Call.READ if config.pattern == "read" else Call.WRITE
        yield from _whole(call, int(config.size.value), transfer, 0, config.shared)
    elif config.pattern == "shared-file-startup":
        yield from _whole(Call.READ, int(config.size.value), transfer, 0, True)
    elif config.pattern == "image-startup":
        yield from _whole(Call.READ, machine.integer("startup.image_bytes"), transfer, 0, True)
    else:
        yield from _python(machine, transfer)


def _python(machine: Datasheet, transfer: int) -> Iterator[ProgramCall]:
    """Interpreter and libraries first, then as many lookups between two files as come to it on average."""
    files, lookups = machine.integer("startup.python_files"), machine.integer("startup.python_lookups")
    total = machine.integer("startup.python_bytes")
    each = max(1, total // max(1, files))
    for file in range(files):
        for _ in range(lookups * (file + 1) // files - lookups * file // files):
            yield ProgramCall(Call.STAT, file=file, shared=True)
        yield from _whole(Call.READ, each, transfer, file, True)


def _whole(call: Call, size: int, transfer: int, file: int, shared: bool) -> Iterator[ProgramCall]:
    yield ProgramCall(Call.OPEN, 0, file, shared)
    for start in range(0, size, transfer):
        yield ProgramCall(call, min(transfer, size - start), file, shared)
    yield ProgramCall(Call.CLOSE, 0, file, shared)


def shipped(calls: list[ProgramCall], read_bytes: int, write_bytes: int) -> list[Step]:
    """The calls as they are shipped: long reads and writes in pieces of at most so many bytes."""
    steps = []
    position: dict[int, int] = {}
    for call in calls:
        if call.call == Call.OPEN:
            position[call.file] = 0
        left = call.length
        while True:
            piece = min(left, read_bytes if call.call == Call.READ else write_bytes)
            left -= piece
            place = position.get(call.file, 0)
            steps.append(Step(call.call, piece, call.file, call.shared, place, left == 0))
            position[call.file] = place + piece
            if left == 0:
                break
    return steps
