"""What is seen in a figure, in a sentence, by the beginning of its name."""

from __future__ import annotations

_CAPTIONS = {
    "compile-elapsed": "Elapsed time of the build; the bounds of the prediction and measurements, if any.",
    "compile-attribution": "Share of each cause in the core's time; the total stands at the right.",
    "compile-sensitivity": "Elapsed time with one uncertain parameter after another at its ends.",
    "cures-waterfall": "What each cure brings on top of those before it.",
    "cures-alone": "What each cure brings alone.",
    "dcmf-latency": "Time of an operation between two nodes against its size.",
    "dcmf-bandwidth": "Rate of operations between two nodes against their size.",
    "io-startup": "Time to load a program against the number of processes.",
    "io-throughput": "Rate of file transfers through an I/O node, by the nodes that share it.",
    "io-layers": "Where the time of a call shipped to an I/O node goes.",
    "memory": "Time of a memory access against the size of what is accessed.",
    "micro-operations": "Cycles of single kernel operations.",
    "netperf-latency": "Time of a message or transaction against its size.",
    "netperf-cpu": "Core time per message, both nodes, against its size.",
    "netperf-throughput": "Payload rate against the size of a message.",
    "neighbours": "A virtual machine's work beside another one, and what it loses of its own time.",
    "matrix": "Every workload under every guest on every platform; dark is far behind the best of a row.",
    "noise-fwq": "Time of equal quanta of work, one after another.",
    "noise-detours": "How often a quantum lost how much time.",
    "noise-spectrum": "At which frequencies work is interrupted.",
    "replay-ranks": "Where the time of each rank of a replayed trace goes.",
    "replay-messages": "Messages of the replayed trace by size.",
    "scaling": "Against the number of nodes, up to the whole machine.",
    "sweep": "Against the swept value.",
    "sweep-points": "The metrics of every point, a row for each.",
    "traffic-classes": "Rates of the nodes by distance to their partners.",
    "traffic-operations": "Time of an operation against its size, from the fastest node to the slowest.",
    "where-the-time-goes": "Share of each cause in the core's time; the total stands at the right.",
}


def kinds() -> list[tuple[str, str]]:
    """The beginnings of names, each with what such a figure shows."""
    return list(_CAPTIONS.items())


def caption(name: str) -> str:
    """The caption of a figure: a sentence for its kind, and what else its name says.

    Examples
    --------
    >>> caption("netperf-latency-mtu-9000-B")
    'Time of a message or transaction against its size. (mtu 9000 B)'
    >>> caption("unheard-of")
    'unheard of'
    """
    found = max(
        (start for start in _CAPTIONS if name == start or name.startswith(start + "-")), key=len, default=""
    )
    rest = name.removeprefix(found).strip("-").replace("-", " ")
    if not found:
        return rest
    return f"{_CAPTIONS[found]} ({rest})" if rest else _CAPTIONS[found]
