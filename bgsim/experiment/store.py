"""The study on disk: ``records.jsonl``, append-only, one driver at a time.

A record is on disk (fsync) before the run counts as done, so a killed driver loses only what it
was computing. A line cut short by a crash is set aside in ``records.damaged``, never mended and
never deleted. The lock is the operating system's, so it vanishes with its process.
Left out: file systems without working locks (some old NFS mounts), where two drivers would not
see each other; ids still keep their records apart.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType

from bgsim.experiment.errors import StoreError, UnwritableError
from bgsim.experiment.record import Record, from_line, to_line
from bgsim.whole import whole

RECORDS = "records.jsonl"
DAMAGED = "records.damaged"
SUMMARY = "summary.csv"
LOCK = ".lock"
BOUNDS = "bounds"
"""Directory, inside a study's, of the runs that move guessed parameters to their ends."""

DAMAGED_MAX = 100
"""So many lines at the beginning of a file, none of them a record, and it is something else."""

PORTION_BYTES = 1 << 24
BUFFER_BYTES = 1 << 20
"""Read at once; of lines of kilobytes, few fit into the usual 8 KiB."""

Note = Callable[[str], None]


def read_records(directory: Path, note: Note) -> Iterator[Record]:
    """Every whole record of a study, in file order, without locking or changing anything.

    Parameters
    ----------
    directory
        The study, or a file of records.
    note
        Called with one line for each damaged line.

    Raises
    ------
    StoreError
        The directory holds no study, or it cannot be read; or a file has no record at all.
    """
    path = records_file(directory)
    of_records = path != directory  # a file that was named may be anything
    held: list[str] = []
    try:
        with path.open("rb", buffering=BUFFER_BYTES) as stream:
            for number, line in enumerate(stream, 1):
                record = from_line(line)
                if record is not None:
                    of_records = True
                    for said in held:
                        note(said)
                    held.clear()
                    yield record
                elif not of_records:
                    held.append(f"{path}:{number}: not a record; left out")
                    if len(held) == DAMAGED_MAX:
                        break
                elif line.endswith(b"\n"):
                    note(f"{path}:{number}: not a record; left out")
                else:
                    note(f"{path}:{number}: the last line was cut short; left out")
    except FileNotFoundError:
        if directory.is_dir():
            raise StoreError(f"{directory}: no {RECORDS} here; is this the directory of a study?") from None
        raise StoreError(f"{directory}: no such directory") from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from None
    if held:
        raise StoreError(f"{path}: not a file of records; name the directory of a study, or its {RECORDS}")


def records_file(source: Path) -> Path:
    """The file with the records of a study; a file stands for itself."""
    return source if source.is_file() else source / RECORDS


def finished_ids(directory: Path) -> set[str]:
    """Ids of the finished runs of a study; none where there is no study yet.

    Raises
    ------
    StoreError
        There is one, and it cannot be read.
    """
    if not (directory / RECORDS).exists():
        return set()
    records = read_records(directory, lambda text: None)
    return {record["run_id"] for record in records if record["status"] == "ok"}


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python's cyclic garbage collector from walking millions of records that hold no cycles."""
    was_running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # both together only make everything old, so that the collector does not begin by
        gc.unfreeze()  # walking what was made meanwhile
        if was_running:
            gc.enable()


class Store:
    """The records of one study, open for appending.

    Life cycle: ``with Store(directory) as store`` makes the directory if need be, takes the lock
    and sets damaged lines aside; ``append`` any number of times; leaving the block releases the
    lock. A Store belongs to one thread.

    Attributes
    ----------
    records
        Those found when it was opened and those appended since.
    """

    def __init__(self, directory: Path, note: Note = lambda text: None) -> None:
        self.directory = directory
        self.note = note
        self.records: list[Record] = []
        self._file = -1
        self._lock = -1

    def __enter__(self) -> Store:
        with told(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.directory / LOCK, os.O_RDWR | os.O_CREAT | _CLOEXEC, 0o644)
            try:
                self._take_lock()
                self._open_records()
            except BaseException:
                self._close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def append(self, record: Record) -> None:
        """Write one record; when this returns it is on disk.

        Raises
        ------
        StoreError
            The disk is full or failing; what was stored before is untouched.
        """
        self.extend([record])

    def extend(self, records: Iterable[Record]) -> None:
        """Write many records, waiting for the disk only now and then; all or none of a portion is stored.

        Raises
        ------
        StoreError
            The disk is full or failing; what was stored before is untouched.
        """
        portion: list[Record] = []
        lines: list[bytes] = []
        size = 0
        for record in records:
            portion.append(record)
            lines.append(to_line(record))
            size += len(lines[-1])
            if size >= PORTION_BYTES:
                self._write(b"".join(lines))
                self.records += portion
                portion, lines, size = [], [], 0
        if portion:
            self._write(b"".join(lines))
            self.records += portion

    def _write(self, lines: bytes) -> None:
        with told(self.directory, "; what was stored before is safe"):
            start = os.lseek(self._file, 0, os.SEEK_END)
            try:
                written = 0
                while written < len(lines):
                    written += os.write(self._file, lines[written:])
                os.fsync(self._file)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, start)  # leave no half line behind
                raise

    def _take_lock(self) -> None:
        if not _lock_file(self._lock):
            holder = os.pread(self._lock, 200, 0).decode(errors="replace").strip() or "another process"
            raise StoreError(
                f"{self.directory}: in use by {holder}; wait for it, or choose another directory (-o)"
            )
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        with contextlib.suppress(OSError):  # only a hint for others; a full disk is reported when it matters
            os.ftruncate(self._lock, 0)
            os.pwrite(
                self._lock, f"process {os.getpid()} on {socket.gethostname()} since {since}\n".encode(), 0
            )

    def _open_records(self) -> None:
        path = self.directory / RECORDS
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _CLOEXEC, 0o644)
        _sync_directory(self.directory)
        good_end, damaged = 0, b""
        with collector_paused(), open(self._file, "rb", BUFFER_BYTES, closefd=False) as stream:
            for number, line in enumerate(stream, 1):
                record = from_line(line)
                if not line.endswith(b"\n"):
                    damaged = line
                    self.note(
                        f"{path}:{number}: the last line was cut short (a crash?); set aside in {DAMAGED}"
                    )
                    break
                good_end += len(line)
                if record is None:
                    self.note(f"{path}:{number}: not a record; left out")
                else:
                    self.records.append(record)
        if damaged:
            # Copy first, cut afterwards: a crash in between leaves the bytes twice, never not at all.
            with (self.directory / DAMAGED).open("ab") as aside:
                aside.write(damaged + b"\n")
                aside.flush()
                os.fsync(aside.fileno())
            os.ftruncate(self._file, good_end)
            os.fsync(self._file)

    def _close(self) -> None:
        for handle in (self._file, self._lock):
            if handle >= 0:
                os.close(handle)
        self._file = self._lock = -1


def write_whole(path: Path, text: str) -> None:
    """Replace a file by new content in one step: a reader sees the old or the new, never half.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    with told(path), whole(path) as part, part.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


@contextlib.contextmanager
def told(path: Path, ending: str = "") -> Iterator[None]:
    """Turn failures of the file system into one message that says what to do."""
    try:
        yield
    except OSError as error:
        kind: type[StoreError] = StoreError
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = "the disk is full; free some space and run the same command again"
        elif error.errno == errno.EFBIG:
            why = "a limit on file sizes is reached; raise it and run the same command again"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            why, kind = "not writable; choose another directory (-o)", UnwritableError
        elif error.errno in (errno.EEXIST, errno.ENOTDIR):
            why = "a file stands where a directory is needed; choose another directory (-o)"
        elif error.errno == errno.EISDIR:
            path = Path(error.filename or path)
            why = "a directory stands where a file is needed; move it away, or choose another directory (-o)"
        elif error.errno in (errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL):
            why = f"cannot be made ({(error.strerror or str(error)).lower()}); choose another directory (-o)"
        else:
            why = error.strerror or str(error)
        raise kind(f"{path}: {why}{ending}") from None


_CLOEXEC = getattr(os, "O_CLOEXEC", 0)

if sys.platform == "win32":

    def _lock_file(handle: int) -> bool:
        import msvcrt

        try:
            # A byte far behind the text, so that others can still read who holds the lock.
            os.lseek(handle, 1 << 20, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _sync_directory(directory: Path) -> None:
        """Windows has no handle for a directory; its file system journals the entry."""

else:

    def _lock_file(handle: int) -> bool:
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _sync_directory(directory: Path) -> None:
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
