"""Matching of messages and of collective calls."""

import pytest

from bgsim.traces import text
from bgsim.traces.deadlock import check_program
from bgsim.traces.errors import TraceError
from bgsim.traces.matching import check_collectives, match


def program(*ranks):
    bodies = "".join(f"rank {number}\n{body}\n" for number, body in enumerate(ranks))
    count = sum(len(body.splitlines()) for body in ranks)
    return text.read_text(f"bgsim-messages 1\nranks {len(ranks)}\n{bodies}end {count}")


def lines_of(matches, of):
    return [(int(of.line[s]), int(of.line[r])) for s, r in zip(matches.send, matches.receive, strict=True)]


def test_messages_of_a_pair_do_not_overtake():
    p = program(
        "send 1 1B tag 1\nsend 1 2B tag 2\nsend 1 3B tag 1",
        "recv 0 9B tag 2\nrecv 0 9B tag 1\nrecv 0 9B tag 1",
    )
    matches = match(p)
    assert lines_of(matches, p) == [(4, 9), (5, 8), (6, 10)]
    assert matches.size.tolist() == [1, 2, 3]


def test_any_tag_takes_the_first_that_is_left():
    p = program(
        "send 1 1B tag 1\nsend 1 2B tag 2\nsend 1 3B tag 3",
        "recv 0 9B tag 2\nrecv 0 9B tag any\nrecv 0 9B tag any",
    )
    assert lines_of(match(p), p) == [(4, 9), (5, 8), (6, 10)]


def test_any_tag_takes_no_message_of_a_collective():
    p = program(
        "bcast 8B\nsend 1 8B tag collective-0\nsend 1 8B tag 3",
        "a: irecv 0 8B tag any\nbcast 8B\nrecv 0 8B tag collective-0\nwait a",
    )
    assert lines_of(match(p), p) == [(5, 10), (6, 8)]
    check_program(p, 1200)  # nor one of the broadcast, written out below the tags of the trace


@pytest.mark.parametrize(
    ("ranks", "said"),
    [
        (
            ("send 1 1B", "barrier"),
            "trace:4: rank 0 sends what nobody receives: send to rank 1, tag 0, line 4",
        ),
        (
            ("barrier", "recv 0 1B tag 7"),
            "rank 1 waits for what nobody sends: recv from rank 0, tag 7, line 6",
        ),
        (
            ("send 1 1B tag 1", "recv 0 1B tag 2"),
            "tag 1, line 4; rank 1 waits there in 'recv from rank 0, tag 2, line 6'",
        ),
        (("send 1 1B tag collective-4", "barrier"), "send to rank 1, of a collective, line 4"),
        (("send 1 2B", "recv 0 1B"), "trace:6: has room for 1 B, and 2 B arrive from trace:4"),
    ],
)
def test_what_does_not_match(ranks, said):
    with pytest.raises(TraceError) as caught:
        match(program(*ranks))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("ranks", "said"),
    [
        (
            ("barrier\nbcast 8B", "barrier\nbcast 8B root 1"),
            "trace:8: collective 2 of rank 1 is 'bcast 8B root 1', and that of rank 0 is 'bcast 8B root 0'",
        ),
        (
            ("barrier\nbarrier", "barrier"),
            "trace:5: rank 0 calls 'barrier', its collective 2, and rank 1 has only 1",
        ),
        (("barrier", "allreduce 8B"), "collective 1 of rank 1 is 'allreduce 8B'"),
    ],
)
def test_collectives_are_the_same_everywhere(ranks, said):
    with pytest.raises(TraceError) as caught:
        check_collectives(program(*ranks))
    assert said in str(caught.value)
