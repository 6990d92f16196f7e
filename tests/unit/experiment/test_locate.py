import pytest

from bgsim.experiment.errors import ExperimentError
from bgsim.experiment.locate import Place, dotted, from_mapping, read_file, read_text, split_path

TEXT = """\
name: x   # a comment
machine:
  base: bgp
  set: {tlb.entries: 256}
platforms: [bare-metal,
            virtual-machine]
"""


def refusal(text):
    with pytest.raises(ExperimentError) as caught:
        read_text(text, "f.yaml")
    return str(caught.value)


def test_places_of_keys_and_values():
    document = read_text(TEXT, "f.yaml")
    assert document.value["machine"] == {"base": "bgp", "set": {"tlb.entries": 256}}
    assert str(document.place_of_key(("machine", "base"))) == "f.yaml:3:3"
    assert str(document.place_of_value(("machine", "set", "tlb.entries"))) == "f.yaml:4:22"
    assert str(document.place_of_value(("platforms", 1))) == "f.yaml:6:13"


def test_a_missing_part_is_placed_at_the_part_around_it():
    document = read_text(TEXT, "f.yaml")
    assert str(document.place_of_key(("machine", "sett"))) == "f.yaml:2:1"
    assert str(document.place_of_value(("workload", "kind"))) == "f.yaml:1:1"


def test_yaml_1_2_scalars():
    document = read_text(
        "{a: on, b: 0o17, c: 0x1F, d: 1_000, e: 010, f: ~, g: 2011-05-31, h: 1e3, i: -0}", "f"
    )
    assert document.value == {
        "a": "on",
        "b": 15,
        "c": 31,
        "d": 1000,
        "e": 10,
        "f": None,
        "g": "2011-05-31",
        "h": 1000.0,
        "i": 0,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: a: written twice, first at 1:1"),
        ("a: [1, 2\n", "f.yaml:2:1: not YAML"),
        ("a: .nan\n", "f.yaml:1:4: a: '.nan' is not a finite number"),
        ("a: 1e999\n", "f.yaml:1:4: a: '1e999' is not a finite number"),
        (f"a: {'9' * 5000}\n", "f.yaml:1:4: a: "),
        (f"a: 0x{'f' * 5000}\n", "f.yaml:1:4: a: a whole number beyond 2^63"),
        ("a: &x [*x]\n", "f.yaml:1:"),
        ("a: !!python/object:os.system x\n", "f.yaml:1:4: a: the YAML tag"),
        ("{[1, 2]: 3}\n", "f.yaml:1:2: a key must be text"),
        ('a: "\\ud800"\n', "f.yaml:1:4: a: text with a character that is not text"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: not YAML"),
        ("a: *unknown\n", "f.yaml:1:4: not YAML"),
        ("\tb: 1\n", "f.yaml:1:1: not YAML"),
        ("[" * 600, "f.yaml: nested too deeply"),
    ],
)
def test_what_is_refused_and_where(text, said):
    assert refusal(text).startswith(said)


def test_aliases_that_blow_up_are_refused():
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    assert "more than 100000 values" in refusal("\n".join(lines))


def test_files_that_cannot_be_read(tmp_path):
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"name: x\ndescription: caf\xe9\n")
    with pytest.raises(ExperimentError, match=r"latin\.yaml:2:17: not UTF-8 text"):
        read_file(latin)
    with pytest.raises(ExperimentError, match="cannot be read"):
        read_file(tmp_path / "absent.yaml")


def test_a_tab_is_called_a_tab():
    with pytest.raises(ExperimentError, match=r"t\.yaml:2:1: not YAML: a tab where blanks must stand"):
        read_text("name: t\n\tpartition: x\n", "t.yaml")


def test_parameter_names_stay_whole_in_paths():
    assert split_path("machine.set.tlb.entries") == ("machine", "set", "tlb.entries")
    assert split_path("assume.core.frequency") == ("assume", "core.frequency")
    assert split_path("sweep.machine.set.tlb.entries") == ("sweep", "machine.set.tlb.entries")
    assert split_path("workload.program") == ("workload", "program")
    assert dotted(("platforms", 1)) == "platforms[1]"


def test_put_replaces_and_remembers_who_asked():
    document = read_text(TEXT, "f.yaml")
    assert document.put(("machine", "set"), {"core.frequency": "1 GHz"}, Place("--set")) == ""
    assert str(document.place_of_value(("machine", "set", "core.frequency"))) == "--set"
    assert "has no parts" in document.put(("name", "first"), 1, Place("--set"))


def test_python_data_becomes_plain():
    from fractions import Fraction

    import numpy

    from bgsim.units import parse

    document = from_mapping(
        {"a": numpy.int64(3), "b": (1, 2), "c": parse("3 s", "time"), "d": Fraction(1, 2)}
    )
    assert document.value == {"a": 3, "b": [1, 2], "c": "3 s", "d": 0.5}
    assert type(document.value["a"]) is int
    with pytest.raises(ExperimentError, match="a: nan is not plain data"):
        from_mapping({"a": float("nan")})
    with pytest.raises(ExperimentError, match=r"a\[0\]: .* is not plain data"):
        from_mapping({"a": [object()]})


MERGED = """\
platforms: &both [bare-metal, virtual-machine]
workload: &usual
  <<: [{kind: micro, iterations: 1}, {iterations: 2, probe: fwq}]
  iterations: 10
smoke:
  <<: *usual
  kind: noise
"""


def test_merge_keys_give_way_to_what_is_written_and_keep_their_places():
    document = read_text(MERGED, "f.yaml")
    workload = {"kind": "micro", "iterations": 10, "probe": "fwq"}
    assert document.value["workload"] == workload
    assert document.value["smoke"] == {**workload, "kind": "noise"}
    assert str(document.place_of_value(("workload", "kind"))) == "f.yaml:3:15"
    assert str(document.place_of_value(("workload", "iterations"))) == "f.yaml:4:15"
    assert str(document.place_of_key(("smoke", "probe"))) == "f.yaml:3:54"
    assert read_text("'<<': {a: 1}", "f").value == {"<<": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {<<: 5}", "f.yaml:1:9: a: '<<' merges a mapping, or a list of them"),
        ("a: {<<: [{b: 1}, 5]}", "f.yaml:1:18: a: '<<' merges a mapping, or a list of them"),
        ("a: {<<: {b: 1, b: 2}}", "f.yaml:1:16: a.b: written twice, first at 1:10"),
        ("a: {<<: {b: 1}, b: 1, b: 2}", "f.yaml:1:23: a.b: written twice, first at 1:17"),
        ("a: {<<: {b: 1}, <<: {c: 1}}", "f.yaml:1:17: a: '<<' is written twice; merge several as a list"),
        ("a: {<<: {}, <<: {}}", "f.yaml:1:13: a: '<<' is written twice; merge several as a list"),
        ("a: &a {<<: *a}", "f.yaml:1:4: a: an alias that contains itself"),
        ("a: &a {b: {<<: *a}}", "f.yaml:1:4: a.b: an alias that contains itself"),
    ],
)
def test_merge_keys_that_make_no_sense(text, message):
    assert refusal(text) == message
