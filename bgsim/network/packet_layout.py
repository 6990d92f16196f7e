"""Packed state of the compiled packet engine: where everything is in its arrays.

A FIFO is one cache line (two with more than four slots): its packets, the time at which each slot is free
again, and four numbers. A link is half a line. Times inside the arrays are 32 bits wide, relative to an epoch
that the engine moves.
"""

# numba's and llvmlite's inner functions have no types.
# mypy: disable-error-code="no-untyped-call, import-untyped"

from __future__ import annotations

from typing import Any, Final

import numba as nb
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

# A packet, 64 bits: hops left in x, y, z (bytes 0 to 2), their signs (24 to 26), routing, size, message.
DYNAMIC_BIT: Final = 27
PRIORITY_BIT: Final = 28
CHUNKS_BIT: Final = 32
MESSAGE_BIT: Final = 36
HOPS_MASK: Final = 0xFFFFFF

# A node's record, in 32-bit words: 32 FIFOs, 8 links, then these.
LINKS_WORDS: Final = 64
COUNT_WORDS: Final = 8  # packets in each FIFO, one byte each
NEIGHBOUR_WORDS: Final = 8
NODE_WORDS: Final = LINKS_WORDS + COUNT_WORDS + NEIGHBOUR_WORDS + 32  # besides the FIFOs
COUNT_AT: Final = LINKS_WORDS
NEIGHBOUR_AT: Final = COUNT_AT + COUNT_WORDS
DIRTY_AT: Final = (
    NEIGHBOUR_AT + 6
)  # directions whose links are to be looked at, in an unused neighbour's place
DMA_AT: Final = NEIGHBOUR_AT + NEIGHBOUR_WORDS

# A FIFO's four numbers, after its slots.
QUEUE_HEAD: Final = 0
QUEUE_READY: Final = 1  # its read port is free from this time
QUEUE_WANTED: Final = 2  # the link upstream waits for a slot whose release is not yet known
QUEUE_WAKE: Final = 3  # the link upstream is already to be woken at this time

# A link's numbers.
LINK_FIELDS: Final = 8
LINK_FREE: Final = 0
LINK_DETERMINISTIC: Final = 1  # FIFOs whose head asks for it: bit masks
LINK_DYNAMIC: Final = 2
LINK_ESCAPE: Final = 3
LINK_PRIORITY: Final = 4
LINK_GRANTS: Final = 5
LINK_WAKE: Final = 6  # it is already to be woken at this time, when its packet has left
LINK_TURN: Final = 7  # round robin starts here (5 bits); chunks sent above

# A message's numbers.
MESSAGE_FIELDS: Final = 8
MESSAGE_HOPS: Final = 0
MESSAGE_TIES: Final = 1
MESSAGE_UNSENT: Final = 2
MESSAGE_UNDELIVERED: Final = 3
MESSAGE_NEXT: Final = 4
MESSAGE_THEN: Final = 5
MESSAGE_SENT_THEN: Final = 6
MESSAGE_PLACE: Final = 7  # FIFO (bits 0 to 2), last packet's chunks (3 to 7), source (8 and up)

# A node's DMA engine: head and tail of the list of each FIFO, then these.
DMA_TAIL: Final = 8
DMA_ACTIVE: Final = 16
DMA_TURN: Final = 17
DMA_FREE: Final = 18
DMA_PENDING: Final = 19

# Scalars of a run.
NOW: Final = 0
POSTED: Final = 1
SPARE: Final = 2
PENDING: Final = 3
HOPS: Final = 4
DELIVERED: Final = 5
INJECTED: Final = 6
UNDELIVERED: Final = 7
EPOCH: Final = 8
EVENTS: Final = 9
SCALARS: Final = 10

# The timing wheel: for each core cycle a list of blocks of events. A slot has its first block, its last, and
# the number of events in the last; a block has 15 events and the next block.
WHEEL: Final = 4096
SLOT_LAST: Final = 1
SLOT_FILL: Final = 2
BLOCK: Final = 16
BLOCK_EVENTS: Final = 15

EVENT_HEAD: Final = 0  # a FIFO's head asks for links
EVENT_LINK: Final = 1  # a link looks at its requests
EVENT_DMA: Final = 2  # a DMA engine may inject a packet

LOOK_AHEAD: Final = 1  # cycles by which the nodes of coming events are fetched into the cache
LINE_WORDS: Final = 16  # 32-bit words in a cache line

FAR: Final = 0x7FFFFFFF
REBASE: Final = 1 << 29


@intrinsic
def lowest_bit(context: Any, word: Any) -> Any:
    """Index of the lowest set bit of a 64-bit word that is not zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], context.get_constant(types.boolean, True))

    return nb.int64(nb.int64), generate


@intrinsic
def prefetch(context: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of an array's element, without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.bitcast(builder.gep(view.data, [arguments[1]]), ir.IntType(8).as_pointer())
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(function, [place, word(1), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate
