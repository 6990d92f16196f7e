"""Paths and options that cannot be meant, told in one message with what to do."""

import pytest


@pytest.fixture
def micro(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(
        "name: m\npartition: {topology: pair}\nplatforms: [bare-metal]\n"
        "workload: {kind: micro, iterations: 1}\n"
    )
    return path


@pytest.mark.parametrize(
    "words",
    [
        ["run", "m.yaml"],
        ["plan", "m.yaml"],
        ["report", "study"],
        ["plot", "study"],
        ["cite", "study"],
        ["explain", "study"],
        ["trace", "study"],
        ["sensitivity", "m.yaml"],
        ["calibrate", "m.yaml"],
        ["characterize", "bare-metal", "cnk"],
        ["messages", "import", "x.goal"],
    ],
)
def test_an_empty_output_is_not_the_current_directory(bgsim, tmp_path, monkeypatch, micro, words):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    done = bgsim(*words, "-o", "")
    assert done.code == 2
    assert "an empty path" in done.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_without_records_is_no_study(bgsim, micro):
    done = bgsim("compare", micro)
    assert (done.code, done.out) == (4, "")
    assert done.err == (
        f"bgsim: {micro}: not a file of records; name the directory of a study, or its records.jsonl\n"
    )


def test_a_directory_in_the_place_of_the_records(bgsim, micro, tmp_path):
    records = tmp_path / "t" / "records.jsonl"
    records.mkdir(parents=True)
    done = bgsim("run", micro, "-o", tmp_path / "t", "-q", "--no-figures")
    assert done.code == 4
    assert done.err == (
        f"bgsim: {records}: a directory stands where a file is needed; move it away, or choose another "
        "directory (-o)\n"
    )


def test_a_directory_that_cannot_be_made(bgsim, micro, monkeypatch):
    from pathlib import Path

    def refuse(self, **options):
        raise FileNotFoundError(2, "No such file or directory", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)  # as below /proc
    done = bgsim("run", micro, "-o", "x", "-q", "--no-figures")
    assert done.code == 4
    assert done.err == (
        "bgsim: x: cannot be made (no such file or directory); choose another directory (-o)\n"
    )


def test_the_speed_of_a_core_is_an_option_above_zero(bgsim, tmp_path):
    trace = tmp_path / "ti.trace"
    trace.write_text("0 init\n0 compute 1e6\n0 finalize\n")
    assert "(--flops-per-s)" in bgsim("messages", "check", trace).err
    for rate in ("0", "-1", "nan", "inf", "fast"):
        done = bgsim("messages", "check", trace, "--flops-per-s", rate)
        assert done.code == 2
        assert f"'{rate}' is not a number above 0" in done.err
    assert bgsim("messages", "check", trace, "--flops-per-s", "1e9").code in (0, None)
