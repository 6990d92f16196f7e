"""What each kind of workload accepts in an experiment file.

Kept free of heavy imports, so that checking an experiment stays instant.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from bgsim.guests.limits import DATAGRAM_BYTES_MAX
from bgsim.units import Quantity, parse
from bgsim.workloads.quantities import Duration, MessageSize, ProgramTime, Size
from bgsim.workloads.shared_node_config import SharedNodeConfig

WARMUP_MAX = 1_000_000
MTU_MIN_BYTES = 576
MTU_MAX_BYTES = {"torus": 39 * 240 - 30, "collective": 128 * 240 - 16}
"""What a frame of the Kittyhawk Ethernet driver holds, without its link header, by network."""

MicroOperation = Literal[
    "null-system-call",
    "getpid-loop",
    "tlb-miss-walk",
    "page-fault-touch",
    "context-switch-ping-pong",
    "ipc-round-trip",
    "device-register-access",
    "timer-tick",
    "l4-thread-switch",
    "l4-call-same-space",
    "l4-call-other-space",
]


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, defer_build=True)


class CompileConfig(SharedNodeConfig):
    """A compiler building a small project, replayed from page-reference traces of real builds."""

    kind: Literal["compile"]
    program: Literal["gcc346", "lcc", "gcc12"] = Field(
        "gcc346", description="whose build: GCC 3.4.6 -O2, lcc, or GCC 12 -O2"
    )
    native_time: ProgramTime = Field(
        default=parse("3 s", "time"),
        description="the job is as much of the build as takes this long on the bare reference machine, "
        "1 us to a day; a warning tells where that is not met within 1 %, in the first microseconds",
    )
    sensitivity: bool = Field(
        True,
        validate_default=True,
        description="move every uncertain parameter to its ends too, which takes most of a short run",
    )

    @field_validator("native_time")
    @classmethod
    def _has_a_job(cls, time: Quantity) -> Quantity:
        if time.value < parse("1 us", "time").value:
            raise ValueError(f"{time} is too short for anything to be built; at least 1 us")
        return time

    @field_validator("sensitivity")
    @classmethod
    def _of_one_machine(cls, wanted: bool, info: ValidationInfo) -> bool:
        if wanted and info.data.get("neighbour", "none") != "none":
            raise ValueError(
                "is about a build that has its node to itself; beside a neighbour set it to false"
            )
        return wanted


class MicroConfig(SharedNodeConfig):
    """One kernel operation repeated: the costs a kernel engineer asks for first."""

    kind: Literal["micro"]
    operation: MicroOperation = Field("null-system-call", description="which operation is repeated")
    iterations: int = Field(1000, ge=1, le=1_000_000, description="how often, after one warm-up pass")


class NetperfConfig(_Config):
    """netperf between two nodes through the guest's Ethernet driver."""

    kind: Literal["netperf"]
    test: Literal["tcp_stream", "udp_stream", "tcp_rr", "udp_rr"] = Field(
        "tcp_stream", description="which test"
    )
    network: Literal["torus", "collective"] = Field("torus", description="the network below the driver")
    message_size: MessageSize = Field(
        default=parse("16 KiB", "bytes"),
        description="bytes per send call, or per request and response, at most 4 GiB, and over UDP 65,507 B, "
        "what a datagram can carry",
    )
    mtu: Size = Field(default=parse("1500 B", "bytes"), description="largest IP packet")
    messages: int = Field(64, ge=2, le=1_000_000, description="messages or transactions measured")
    warmup: Annotated[int, Field(ge=0, le=WARMUP_MAX)] | Literal["auto"] = Field(
        8,
        description="messages or transactions before measuring, at most a quarter of what data allows (a "
        "warning says so); auto: as many of the measured ones as the run itself shows to be warm-up, at most "
        "half",
    )
    data: Size = Field(
        default=parse("64 KiB", "bytes"),
        description="fewer messages are measured if they would carry more than this, but at least two, "
        "or one transaction",
    )

    @field_validator("warmup", mode="before")
    @classmethod
    def _is_known_or_found(cls, warmup: object) -> object:
        whole = isinstance(warmup, int) and not isinstance(warmup, bool) and 0 <= warmup <= WARMUP_MAX
        if warmup != "auto" and not whole:
            raise ValueError(f"{warmup!r} is neither auto nor a whole number from 0 to {WARMUP_MAX:,}")
        return warmup

    @field_validator("message_size")
    @classmethod
    def _has_bytes(cls, size: Quantity, info: ValidationInfo) -> Quantity:
        if size.value < 1:
            raise ValueError("a message has at least one byte")
        test = info.data.get("test", "")
        if test.startswith("udp") and size.value > DATAGRAM_BYTES_MAX:
            raise ValueError(
                f"{size} is too much for {test}: a datagram carries at most {DATAGRAM_BYTES_MAX} B"
            )
        return size

    @field_validator("mtu")
    @classmethod
    def _fits_the_network(cls, mtu: Quantity, info: ValidationInfo) -> Quantity:
        network = info.data.get("network")
        if network is not None and not MTU_MIN_BYTES <= mtu.value <= MTU_MAX_BYTES[network]:
            most = MTU_MAX_BYTES[network]
            raise ValueError(f"the {network} network takes {MTU_MIN_BYTES} to {most} B")
        return mtu


class DcmfConfig(_Config):
    """One-sided messaging of the deep computing messaging framework between two neighbours."""

    kind: Literal["dcmf"]
    operation: Literal["put", "get"] = Field("put", description="one-sided write or read")
    completion: Literal["local", "remote"] = Field(
        "local", description="when a put counts as done: source reusable, or data at the target"
    )
    measure: Literal["latency", "bandwidth"] = Field("latency", description="one at a time, or streamed")
    size: MessageSize = Field(
        default=parse("1 KiB", "bytes"), description="bytes per operation, at most 4 GiB"
    )
    messages: int = Field(16, ge=1, le=100_000, description="operations measured")
    warmup: int = Field(
        16,
        ge=0,
        le=100_000,
        description="operations before measuring; a stream is measured from the completion of the last of "
        "them, once it has reached its steady rate",
    )

    @field_validator("completion")
    @classmethod
    def _only_a_put_has_two(cls, completion: str, info: ValidationInfo) -> str:
        if completion == "remote" and info.data.get("operation") == "get":
            raise ValueError("a get is complete when its data has arrived; only a put has two kinds")
        return completion

    @field_validator("size")
    @classmethod
    def _at_least_a_byte(cls, size: Quantity) -> Quantity:
        if size.value < 1:
            raise ValueError("an operation moves at least one byte")
        return size


class NoiseConfig(SharedNodeConfig):
    """A noise probe on one core: what a program loses to detours that are not its own work."""

    kind: Literal["noise"]
    probe: Literal["fwq", "ftq"] = Field(
        "fwq", description="a fixed quantum of work, timed; or a fixed quantum of time, its work counted"
    )
    quantum: Duration = Field(default=parse("100 us", "time"), description="work, or time, of a quantum")
    duration: ProgramTime = Field(
        default=parse("1 s", "time"),
        description="quanta for so long are recorded, detours apart; at most a day",
    )
    warmup: ProgramTime = Field(
        default=parse("20 ms", "time"), description="quanta for so long go before them; at most a day"
    )
    samples: Literal["touched", "fresh"] = Field(
        "touched",
        description="whether the memory the samples go to has been touched before; a guest that pages on "
        "demand takes a page fault where it has not",
    )

    @field_validator("quantum")
    @classmethod
    def _is_long_enough(cls, quantum: Quantity) -> Quantity:
        if not parse("10 us", "time").value <= quantum.value <= parse("1 s", "time").value:
            raise ValueError("a quantum takes 10 us to 1 s")
        return quantum

    @field_validator("duration")
    @classmethod
    def _has_quanta(cls, duration: Quantity, info: ValidationInfo) -> Quantity:
        quantum = info.data.get("quantum")
        if quantum is not None and duration.value < 2 * quantum.value:
            raise ValueError("there are at least two quanta in it")
        return duration


class MemoryConfig(SharedNodeConfig):
    """A loop over a table in memory: what translation and caches let a program reach."""

    kind: Literal["memory"]
    pattern: Literal["random", "stream"] = Field(
        "random", description="each address depends on what the last one held; or one element after the other"
    )
    size: Size = Field(default=parse("32 MiB", "bytes"), description="size of the table")
    accesses: int = Field(200_000, ge=1000, le=5_000_000, description="elements of 8 bytes read")

    @field_validator("size")
    @classmethod
    def _fits(cls, size: Quantity) -> Quantity:
        if not parse("4 KiB", "bytes").value <= size.value <= parse("128 MiB", "bytes").value:
            raise ValueError("a table takes 4 KiB to 128 MiB")
        return size
