"""LogGOPSim's GOAL schedules and SimGrid's time-independent traces, on samples small enough to read."""

import numpy as np
import pytest

from bgsim.traces import deadlock, goal, simgrid, text
from bgsim.traces.errors import TraceError
from bgsim.traces.files import ImportOptions, digest, format_of, load
from bgsim.traces.matching import match
from bgsim.traces.program import ANY, COLLECTIVE_TAG, Kind

GOAL = """\
num_ranks 2
// a comment
rank 0 {
l1: calc 100
l2: send 8b to 1 tag 3 cpu 0
l3: recv 4000b from 1 tag -1
/* over
two lines */ l4: calc 50 cpu 1
l1 requires l3
l2 requires l1
l4 irequires l3
}
rank 1 { recv 8b from 0 tag 3 nic 0
l2: send 4000b to 0 tag 9 }
"""

NEW = """\
0 init
1 init
0 compute 1e6
0 isend 1 5 100 1
0 wait 0 1 5
0 allReduce 2 8.5e5 0
0 bcast 16 1
0 finalize
1 irecv 0 5 0 1
1 waitAll
1 allReduce 2 8.5e5 0
1 bcast 16 1
1 finalize
"""

OLD = """\
0 init
1 init
0 send 1 1e3
1 Irecv 0 1e3
1 Isend 0 24
1 wait
0 recv 1 24
0 finalize
1 waitAll
1 finalize
"""


@pytest.fixture
def file(tmp_path):
    def make(content, name="trace"):
        path = tmp_path / name
        path.write_text(content)
        return path

    return make


def told(read, *arguments):
    with pytest.raises(TraceError) as caught:
        read(*arguments)
    return str(caught.value)


def test_goal(file):
    path = file(GOAL)
    program = goal.read(path, 1000)
    assert format_of(path) == "goal"
    # After what each requires: l3 before l1, l1 before l2; l4 has only to wait until l3 is posted.
    names = [Kind(kind).name for kind in program.kind]
    assert names == ["RECEIVE_START", "COMPUTE", "SEND_START", "COMPUTE", "RECEIVE_START", "SEND_START"]
    assert program.amount.tolist() == [4000, 100_000, 8, 50_000, 8, 4000]
    assert program.core.tolist() == [0, 0, 0, 1, 0, 0]
    assert not program.chained.any()
    links = program.links
    assert links.later.tolist() == [1, 2, 3]
    assert links.earlier.tolist() == [0, 1, 0]
    assert links.started.tolist() == [False, False, True]
    assert len(match(program).send) == 2
    assert text.read_text("\n".join(text.lines(program))).same(program)
    deadlock.check_program(program, 1200)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (GOAL.replace("calc 50", "calcu 50"), ":8: not understood: 'l4: calcu 50 cpu 1'"),
        (GOAL.replace("from 1 tag", "from -1 tag"), ":6: a receive from any rank depends on timing"),
        (GOAL.replace("l2 requires l1", "l2 requires l9"), ":10: no operation above bears the label 'l9'"),
        (GOAL.replace("nic 0", "nic 1"), ":13: nic 1: a node has one DMA engine"),
        (GOAL.replace("cpu 1", "cpu 4"), ":8: cpu 4: a node has 4 cores"),
        (GOAL.replace("l1 requires l3", "l3 requires l2"), "requires, over others, itself"),
        (GOAL.replace("l3: recv", "l1: recv"), ":6: label 'l1' stands in line 4 already"),
        (GOAL.rsplit("}", 1)[0], "the file is cut off: the last rank's section is not closed"),
        (GOAL[: GOAL.index("rank 1")], "cut off: 1 of 2 ranks have no section, the first is rank 1"),
        (GOAL.replace("to 1", "to 2"), ":5: rank 2: ranks are 0 to 1"),
        (GOAL.replace("two lines */", ""), "cut off inside a comment"),
        (
            GOAL.replace("num_ranks 2", "num_ranks 294913"),
            ":1: 294,913 ranks, and 72 racks with four on",
        ),
        (
            GOAL.replace("calc 100", "calc 99999999999999999999"),
            ":4: calc 99999999999999999999 is longer",
        ),
        (GOAL.replace("calc 100", "calc 9300000000000000"), ":4: calc 9300000000000000 is longer than 106 d"),
        (GOAL.replace("4000b", f"{2**63}b"), f":6: {2**63} b is more than 8 EiB"),
        (
            GOAL.replace("4000b", "9" * 5000 + "b"),
            ":6: 9999999999999999999999999999999999999999... b is",
        ),
        (GOAL.replace("tag 3", f"tag {2**31}"), f":5: tag {2**31} is more than {2**31 - 1}"),
    ],
)
def test_goal_refuses(file, content, said):
    if "itself" in said:
        content = content.replace("l2 requires l1", "l2 requires l1\nl1 requires l2")
    assert said in told(goal.read, file(content), 1000)


def matched(file, first):
    """Sizes of messages in the order of their receives, whose lines are in order."""
    program = goal.read(file(f"num_ranks 2\nrank 0 {{\n{first}}}\nrank 1 {{\n{3 * RECEIVE}}}\n"), 1000)
    matches = match(program)
    return matches.size[np.argsort(matches.receive)].tolist(), program


RECEIVE = "recv 100b from 0\n"


def test_goal_matches_in_the_order_of_lines(file):
    sends = "a: send 8b to 1\nb: send 100b to 1\nd: send 4b to 1\n"
    assert matched(file, sends)[0] == [8, 100, 4]
    sizes, program = matched(file, f"{sends}c: calc 1000\na requires c\n")
    assert sizes == [8, 100, 4]  # though the second can leave before the first
    assert program.line[:4].tolist() == [6, 3, 4, 5]
    assert matched(file, f"{sends}a requires d\n")[0] == [4, 8, 100]  # what can only come behind it, does


def test_goal_follows_long_chains(file):
    lines = "".join(f"l{n}: calc 1\n" for n in range(5000))
    needs = "".join(f"l{n} requires l{n + 1}\n" for n in range(4999))
    program = goal.read(file(f"num_ranks 1\nrank 0 {{\n{lines}{needs}}}\n"), 1000)
    assert program.line.tolist() == list(range(5002, 2, -1))


def test_goal_irequires_waits_until_a_receive_is_posted(file):
    schedule = (
        "num_ranks 2\nrank 0 {\nl0: calc 1000\nl1: send 8b to 1\nl1 requires l0\n}\nrank 1 {\n"
        "l1: recv 8b from 0\nl2: calc 5 cpu 1\nl2 irequires l1\n}\n"
    )
    links = goal.read(file(schedule), 1000).links
    assert links.started.tolist() == [False, True]


def test_simgrid_new(file):
    path = file(NEW)
    program = simgrid.read(path, 1e9)
    assert format_of(path) == "simgrid"
    assert [Kind(kind).name for kind in program.kind[:6]] == [
        "COMPUTE", "SEND_START", "WAIT", "ALLREDUCE", "COMPUTE", "BROADCAST"
    ]  # fmt: skip
    assert program.amount[:6].tolist() == [10**9, 400, 0, 16, 850_000_000, 16]
    assert program.peer[5] == 1
    assert (program.kind[6], program.amount[6], program.tag[6]) == (Kind.RECEIVE_START, ANY, 5)
    assert len(match(program).send) == 1
    assert text.read_text("\n".join(text.lines(program))).same(program)


def test_simgrid_old(file):
    program = simgrid.read(file(OLD), None)
    assert program.amount[program.kind == Kind.SEND].tolist() == [1000]
    assert (program.tag == 0).all()
    waits = program.links.later[program.kind[program.links.later] == Kind.WAIT]
    kinds = program.kind[program.links.earlier]
    # 'wait' takes the latest request, 'waitAll' the rest.
    assert [Kind(kind).name for kind in kinds] == ["SEND_START", "RECEIVE_START"]
    assert waits[0] < waits[1]


def test_simgrid_files_per_rank(file, tmp_path):
    for rank in range(2):
        lines = [line for line in NEW.splitlines() if line.startswith(str(rank))]
        file("\n".join(lines) + "\n", f"r{rank}.txt")
    index = file("r0.txt\nr1.txt\n", "index")
    whole = simgrid.read(file(NEW, "whole"), 1e9)
    assert load(index, "auto", ImportOptions(flops_per_s=1e9)).same(whole)
    before = digest(index)
    file(NEW, "r1.txt")
    assert digest(index) != before
    (tmp_path / "r1.txt").unlink()
    assert f"{index}:2: 'r1.txt' is no action (RANK ACTION ...) and no trace file beside" in told(
        simgrid.read, index, 1e9
    )


def test_simgrid_defaults_and_vectors(file):
    content = "".join(
        f"{rank} init 1\n{rank} gather 10 10 1\n{rank} allToAllV 6 {sends} 6 {receives}\n{rank} finalize\n"
        for rank, sends, receives in ((0, "1 2 3", "1 0 0"), (1, "0 1 0", "2 1 1"), (2, "0 1 1", "3 0 1"))
    )
    program = simgrid.read(file(content), None)
    matches = match(program)
    # Two ranks send 10 doubles to rank 1; then what the vectors say, without a rank's own share.
    assert sorted(matches.size.tolist()) == [8, 16, 24, 80, 80]


def test_simgrid_any_tag_takes_no_message_of_a_gather(file):
    content = (
        "0 init\n1 init\n0 irecv 1 -1 8\n0 gather 8 8 0\n1 gather 8 8 0\n1 send 0 2147483647 8\n"
        "0 wait 1 0 -1\n0 finalize\n1 finalize\n"
    )
    program = simgrid.read(file(content), None)
    matches = match(program)
    assert program.tag[matches.send].tolist() == [COLLECTIVE_TAG, 2**31 - 1]
    assert program.tag[matches.receive].tolist() == [COLLECTIVE_TAG, ANY]
    assert text.read_text("\n".join(text.lines(program))).same(program)


@pytest.mark.parametrize(
    ("behind", "element"),
    [("", 1), ("1", 4), ("0 10 30", 1), ("1 0 10 30", 4)],
)
def test_simgrid_allgatherv_has_a_type_with_and_without_displacements(file, behind, element):
    content = "".join(
        f"{rank} init\n{rank} allGatherV {own} 10 20 30 {behind}\n{rank} finalize\n"
        for rank, own in enumerate((10, 20, 30))
    )
    sizes = sorted(match(simgrid.read(file(content), None)).size.tolist())
    assert sizes == [element * size for size in (10, 10, 20, 20, 30, 30)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (NEW.replace("0 compute", "0 computer"), ":3: action 'computer': unknown; did you mean 'compute'?"),
        (NEW.replace("1 waitAll", "1 test 0 1 5"), ":10: action 'test': what a test finds depends on timing"),
        (NEW.replace("0 bcast", "0 comm_split"), "action 'comm_split': collectives here are of all ranks"),
        (NEW.replace("1 irecv 0", "1 irecv -1"), ":9: a receive from any rank depends on timing"),
        (NEW.replace("wait 0 1 5", "wait 0 1 6"), ":5: no isend or irecv from 0 to 1 with tag 6 is pending"),
        (NEW.replace("isend 1 5 100 1", "isend 1 5 100 99"), ":4: type 99 is not one of MPI's basic types"),
        (NEW.replace("1 finalize\n", ""), "the trace is cut off: rank 1 has no 'finalize'"),
        (NEW.replace("compute 1e6", "compute lots"), ":3: 'compute lots' is not understood"),
        (
            NEW.replace("0 bcast 16 1", "0 bcast"),
            ":7: 'bcast ' is not understood: there is too little behind it",
        ),
        (NEW.replace("isend 1 5", "isend 7 5"), ":4: rank 7: ranks are 0 to 1"),
        (NEW.replace("isend 1 5", f"isend 1 {2**31}"), f":4: tag {2**31} is more than {2**31 - 1}"),
        (
            NEW.replace("compute 1e6", "comm_size inf"),
            ":3: 'comm_size inf' is not understood: cannot",
        ),
        (NEW + "294912 init\n", ": rank 294912: 72 racks with four ranks on each node have 294,912"),
        ("0 init\nfoo\n0 finalize\n", ":2: not understood: 'foo'"),
        ("0 init\n1 init\n0 send 1 2 3\n1 recv 0 2 3\n", "say which dialect it is, old or new"),
    ],
)
def test_simgrid_refuses(file, content, said):
    assert said in told(simgrid.read, file(content), 1e9)


def test_simgrid_sleep_needs_none(file):
    program = simgrid.read(file("0 init\n0 sleep 0.5\n0 finalize\n"), None)
    assert (program.kind.tolist(), program.amount.tolist()) == ([Kind.SLEEP], [5 * 10**11])
    assert text.read_text("\n".join(text.lines(program))).same(program)


def test_simgrid_needs_a_rate_to_compute(file):
    assert ":3: the trace computes; say how fast a core does" in told(simgrid.read, file(NEW), None)


def test_dialect_when_nothing_tells(file):
    path = file("0 init\n1 init\n0 send 1 2 3\n1 recv 0 2 3\n0 finalize\n1 finalize\n")
    new, old = simgrid.read(path, None, "new"), simgrid.read(path, None, "old")
    assert (new.tag[0], new.amount[0]) == (2, 3)
    assert (old.tag[0], old.amount[0]) == (0, 4)  # two elements of type 3, short
