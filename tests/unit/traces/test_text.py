"""bgsim's own message traces: what lines mean, round trips, and what is said about wrong ones."""

import gzip

import numpy as np
import pytest

from bgsim.traces import text
from bgsim.traces.errors import TraceError
from bgsim.traces.program import ANY, Builder, Kind

EXAMPLE = """\
bgsim-messages 1
ranks 3

rank 0  # comments, anywhere
compute 2.5us
a: isend 1 4KiB tag 3
b: irecv 1 any
wait a
compute 100 cycles core 1 after b since a
compute 1ms after start
waitall
bcast 8B root 1

rank 1
recv 0 4 KiB tag any
send 0 8B
bcast 8B root 1
rank 0
barrier
rank 2
bcast 8B root 1
end 13
"""


def wrong(body, ranks=2):
    lines = f"bgsim-messages 1\nranks {ranks}\n{body}"
    with pytest.raises(TraceError) as caught:
        text.read_text(lines)
    return str(caught.value)


def test_what_lines_mean():
    program = text.read_text(EXAMPLE)
    kinds = [Kind(kind).name for kind in program.kind]
    assert kinds == [
        "COMPUTE", "SEND_START", "RECEIVE_START", "WAIT", "COMPUTE_CYCLES", "COMPUTE", "WAIT", "BROADCAST",
        "BARRIER", "RECEIVE", "SEND", "BROADCAST", "BROADCAST",
    ]  # fmt: skip
    assert program.first.tolist() == [0, 9, 12, 13]
    assert program.amount[:5].tolist() == [2_500_000, 4096, ANY, 0, 100]
    assert program.tag[[1, 9]].tolist() == [3, ANY]
    assert program.peer[[1, 7, 9]].tolist() == [1, 1, 0]
    assert program.core.tolist() == [0, 0, 0, 0, 1] + [0] * 8
    assert np.flatnonzero(~program.chained).tolist() == [4, 5]
    links = list(zip(*(column.tolist() for column in vars_of(program.links)), strict=True))
    assert links == [(3, 1, False), (4, 1, True), (4, 2, False), (6, 2, False)]
    assert program.line[8] == 19


def vars_of(links):
    return links.later, links.earlier, links.started


def test_round_trip():
    program = text.read_text(EXAMPLE)
    again = text.read_text("\n".join(text.lines(program)))
    assert again.same(program)
    assert again.first[-1] == 13


def test_files_plain_and_packed(tmp_path):
    program = text.read_text(EXAMPLE)
    for name in ("a.trace", "a.trace.gz"):
        text.write(program, tmp_path / name)
        assert text.read(tmp_path / name).same(program)
    packed = (tmp_path / "a.trace.gz").read_bytes()
    (tmp_path / "a.trace.gz").write_bytes(packed[:-20])
    with pytest.raises(TraceError, match="cut off or damaged"):
        text.read(tmp_path / "a.trace.gz")
    (tmp_path / "a.trace.gz").write_bytes(gzip.compress(b"x")[:10] + b"\7")  # there is no such block
    with pytest.raises(TraceError, match="cut off or damaged"):
        text.read(tmp_path / "a.trace.gz")
    (tmp_path / "b.trace").write_bytes(gzip.compress(b"x"))
    with pytest.raises(TraceError, match="not a text file"):
        text.read(tmp_path / "b.trace")
    with pytest.raises(TraceError, match="No such file"):
        text.read(tmp_path / "absent.trace")


def test_a_line_count_beyond_the_memory_of_lines():
    builder = Builder(2)
    for number in range(250_000):
        builder.add(0, Kind.COMPUTE_CYCLES, number)
    program = builder.build()
    assert text.read_text("\n".join(text.lines(program))).same(program)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "rank 0\nsend 1 8B\n",
            "trace:4: the file is cut off: it ends without 'end COUNT' after 1 operations",
        ),
        ("rank 0\nsend 1 8B\nend 2", "2 operations are announced and 1 are here"),
        ("rank 0\nend 0\nbarrier", "there is more behind the end in line 4"),
        ("rank 0\nsned 1 8B\nend 1", "trace:4: unknown operation 'sned'; did you mean 'send'?"),
        ("rank 0\nsend 1 8\nend 1", "trace:4: '8' has no unit"),
        ("rank 0\nsend 1\nend 1", "trace:4: 'send' needs a size, such as 1024B or 4KiB"),
        ("rank 0\nsend 2 8B\nend 1", "trace:4: rank 2: ranks are 0 to 1"),
        ("rank 2\nbarrier\nend 1", "trace:3: rank 2: ranks are 0 to 1"),
        ("barrier\nend 1", "trace:3: whose operation? a 'rank' line comes first"),
        ("rank 0\nrecv any 8B\nend 1", "depends on timing; name the rank it took"),
        ("rank 0\ncompute 5\nend 1", "trace:4: '5' has no unit"),
        ("rank 0\ncompute 5us core 4\nend 1", "trace:4: core: 4 is more than 3"),
        ("rank 0\nbarrier tag 3\nend 1", "'barrier' takes no 'tag'"),
        ("rank 0\nwait a\nend 1", "trace:4: rank 0 has no operation 'a' above this line"),
        ("rank 0\na: barrier\nwait a\nend 2", "line 4 is no isend and no irecv"),
        (
            "rank 0\na: irecv 1 8B\nwait a\nwait a\nend 3",
            "trace:6: the operation of line 4 has been waited for",
        ),
        ("rank 0\na: irecv 1 8B\nwaitall\nwait a\nend 3", "trace:6: the operation of line 4 has been waited"),
        ("rank 0\nafter: barrier\nend 1", "'after' is no label"),
        ("rank 0\ncompute 1.5cycles\nend 1", "trace:4: '1.5cycles' is no whole number of cycles"),
        ("rank 0\nsend 1 " + "9" * 5000 + "B\nend 1", "9... is more than 8 EiB"),
        ("rank 0\nsend 1 8B tag " + "9" * 5000 + "\nend 1", "9... is more than 2147483647"),
        ("rank 0\nsend 1 8B tag \u00b2\nend 1", "tag: '\u00b2' is not a whole number"),
        ("ranks 3\nend 0", "trace:3: the number of ranks stands in line 2 already"),
    ],
)
def test_wrong_lines(body, said):
    assert said in wrong(body)


def test_labels_are_of_one_rank():
    assert "rank 1 has no operation 'a'" in wrong("rank 0\na: irecv 1 8B\nrank 1\nwait a\nend 2")


def test_head():
    for content, said in (
        ("", "the file is empty"),
        ("ranks 2\nend 0\n", "a trace begins with the line 'bgsim-messages 1'"),
        (
            "bgsim-messages 2\nranks 2\nend 0",
            "trace:1: version 2 of the format; this program reads version 1",
        ),
        ("bgsim-messages 1\nend 0", "no line says how many ranks there are"),
        ("bgsim-messages 1\nranks 0\nend 0", "at least one rank"),
        ("bgsim-messages 1\nranks 100000000\nrank 0\nend 0", "trace:2: 100,000,000 ranks, and 72 racks"),
    ):
        with pytest.raises(TraceError) as caught:
            text.read_text(content)
        assert said in str(caught.value)


def test_all_problems_at_once_with_columns(tmp_path):
    path = tmp_path / "w.trace"
    path.write_text("bgsim-messages 1\nranks 2\nrank 0\n  sned 1 8B\nsend 1 8Q\nend 2\n")
    with pytest.raises(TraceError) as caught:
        text.read(path)
    assert [problem.place for problem in caught.value.problems] == [f"{path}:4:3", f"{path}:5:8"]
