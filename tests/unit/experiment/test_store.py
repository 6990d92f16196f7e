import errno
import os
import subprocess
import sys

import pytest

from bgsim.experiment import store as module
from bgsim.experiment.errors import StoreError
from bgsim.experiment.record import FIELDS, from_line, json_schema, to_line
from bgsim.experiment.store import Store, read_records, write_whole
from bgsim.whole import whole


def record(number):
    return {
        "schema": 1,
        "run_id": f"{number:016x}",
        "experiment": "e",
        "point": {"workload.program": "é"},
        "platform": "bare-metal",
        "guest": "cnk",
        "replication": 0,
        "seed": 1,
        "config": {},
        "metrics": {"elapsed_s": number / 7},
        "exits": [],
        "attribution": {},
        "details": {},
        "warnings": [],
        "provenance": {},
        "status": "ok",
    }


def fill(directory, count):
    with Store(directory) as opened:
        for number in range(count):
            opened.append(record(number))
    return directory / "records.jsonl"


def test_what_was_appended_is_read_back(tmp_path):
    fill(tmp_path / "deep" / "study", 3)
    with Store(tmp_path / "deep" / "study") as opened:
        assert opened.records == [record(0), record(1), record(2)]
    assert list(read_records(tmp_path / "deep" / "study", pytest.fail)) == [record(0), record(1), record(2)]


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_line_cut_short_is_set_aside_and_said(tmp_path, cut):
    path = fill(tmp_path, 3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    torn = whole[:-cut].splitlines(keepends=True)[2]
    said = []
    assert [found["run_id"] for found in read_records(tmp_path, said.append)] == [
        record(number)["run_id"] for number in ((0, 1, 2) if cut == 1 else (0, 1))
    ]
    said.clear()
    with Store(tmp_path, said.append) as opened:
        assert opened.records == [record(0), record(1)]
        opened.append(record(5))
    assert len(said) == 1
    assert "records.jsonl:3: the last line was cut short" in said[0]
    assert (tmp_path / "records.damaged").read_bytes() == torn + b"\n"
    assert path.read_bytes() == b"".join([*whole.splitlines(keepends=True)[:2], to_line(record(5))])


def test_damage_in_the_middle_is_left_where_it_is(tmp_path):
    path = fill(tmp_path, 2)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"\0\0\0\n" + second)
    said = []
    with Store(tmp_path, said.append) as opened:
        assert opened.records == [record(0), record(1)]
    assert said == [f"{path}:2: not a record; left out"]
    assert path.read_bytes() == first + b"\0\0\0\n" + second


def test_a_second_driver_is_refused_and_told_who_is_first(tmp_path):
    code = (
        "import sys, pathlib; from bgsim.experiment.store import Store\n"
        "with Store(pathlib.Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout.readline() == "locked\n"
    with (
        pytest.raises(StoreError, match=rf"in use by process {first.pid} on .* since .*\(-o\)"),
        Store(tmp_path),
    ):
        pass
    first.kill()
    first.communicate()
    with Store(tmp_path) as opened:  # the lock went with its holder
        assert opened.records == []


def test_a_full_disk_loses_nothing_and_says_so_once(tmp_path, monkeypatch):
    path = fill(tmp_path, 2)
    before = path.read_bytes()
    really = os.write

    def full(handle, data):
        if len(data) < 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return really(handle, data[: len(data) // 2])

    with Store(tmp_path) as opened:
        monkeypatch.setattr(module.os, "write", full)
        with pytest.raises(
            StoreError, match="the disk is full; free some space and run the same command again"
        ):
            opened.append(record(2))
        monkeypatch.undo()
        assert path.read_bytes() == before
        opened.append(record(2))
    assert path.read_bytes() == before + to_line(record(2))


def test_directories_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreError, match="a file stands where a directory is needed"),
        Store(tmp_path / "file"),
    ):
        pass
    with pytest.raises(StoreError, match="no such directory"):
        list(read_records(tmp_path / "absent", print))
    with pytest.raises(StoreError, match=r"no records\.jsonl here"):
        list(read_records(tmp_path, print))


def test_files_are_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "summary.csv"
    write_whole(path, "old")

    def fail(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", fail)
    with pytest.raises(StoreError, match="the disk is full"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.csv"]


def test_a_failed_write_leaves_what_was_there_and_nothing_else(tmp_path):
    path, link = tmp_path / "model.yaml", tmp_path / "link.yaml"
    link.symlink_to(path.name)
    with whole(link) as part:
        assert (part.parent, part.suffix) == (tmp_path, ".yaml")
        part.write_text("old")

    def stopped():
        with whole(path) as part:
            part.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert link.is_symlink()
    assert path.read_text() == "old"
    assert {entry.name for entry in tmp_path.iterdir()} == {"model.yaml", "link.yaml"}


def test_lines_and_records():
    assert from_line(to_line(record(1))) == record(1)
    assert from_line(b"[1]") is None
    assert from_line(b"{}") is None
    assert from_line(b"[" * 100_000) is None
    with pytest.raises(ValueError, match="Out of range"):
        to_line({**record(1), "metrics": {"elapsed_s": float("inf")}})
    assert set(json_schema()["properties"]) == set(FIELDS)


def test_a_stored_record_is_what_was_written_and_half_of_it_is_read_late():
    written = {"schema": 1, "run_id": "0" * 16, "experiment": "e", "point": {"a": ',"exits":['}}
    written |= {"platform": "bare-metal", "guest": "cnk", "replication": 0, "seed": 1}
    written |= {"config": {"exits": [1], "z": 2}, "metrics": {"exits": 2.5}, "exits": [{"cause": "x"}]}
    written |= {
        "attribution": {},
        "details": {"status": "failed"},
        "warnings": [],
        "provenance": {},
        "status": "ok",
        "stopped": {"why": "end"},
    }
    line = to_line(written)
    found = from_line(line)
    assert found["metrics"] == {"exits": 2.5}
    assert found["stopped"] == {"why": "end"}
    assert dict(found) == written
    assert to_line(found) == line
    assert list(found) == list(written)
    assert from_line(line[:-5]) is None
    assert from_line(line.replace(b'"ok"', b'"failed"'))["status"] == "failed"
    assert from_line(line.replace(b'{"why"', b'{{why"')) is None


@pytest.mark.parametrize("at", [b'"experiment"', b'"config"', b'"metrics"', b'"details"', b'"provenance"'])
def test_damage_anywhere_in_a_line_leaves_it_out_with_its_place(tmp_path, at):
    """Also in the half that is not kept; the run is computed again, since its record is none."""
    path = fill(tmp_path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    where = lines[1].index(at)
    lines[1] = lines[1][:where] + b"\x00\xff{{" + lines[1][where + 4 :]
    path.write_bytes(b"".join(lines))
    said = []
    with Store(tmp_path, said.append) as opened:
        assert opened.records == [record(0), record(2)]
    assert said == [f"{path}:2: not a record; left out"]
    assert [found["run_id"][-1] for found in read_records(tmp_path, said.append)] == ["0", "2"]
    assert said[1:] == said[:1]


@pytest.mark.parametrize("name", json_schema()["required"])
@pytest.mark.parametrize("status", ["ok", "failed"])
def test_what_lacks_a_field_is_no_record(name, status):
    whole = {**record(1), "status": status}
    assert from_line(to_line(whole)) == whole
    assert from_line(to_line({key: value for key, value in whole.items() if key != name})) is None
    if isinstance(whole[name], (dict, list)):
        assert from_line(to_line({**whole, name: 3})) is None
