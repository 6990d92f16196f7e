"""The datasheet: every record is complete; a change is applied exactly, or all its problems are named."""

import pickle
import re
from typing import Any

import pytest

from bgsim.datasheet import (
    CONFIDENCE,
    Datasheet,
    DatasheetError,
    Parameter,
    UnknownParameterError,
    bases,
)
from bgsim.datasheet.document import main, parameter_table
from bgsim.units import dimension_of

RECORD: dict[str, Any] = {
    "name": "some.latency",
    "value": 100,
    "unit": "ns",
    "source": "a manual, p. 7",
    "confidence": "R",
}


@pytest.fixture(scope="module")
def machine() -> Datasheet:
    return Datasheet.load()


def problem(**changes: Any) -> str:
    """What is wrong with the record after these changes."""
    with pytest.raises(DatasheetError) as refusal:
        Parameter.from_record(RECORD | changes)
    return str(refusal.value)


def test_blue_gene_p_is_shipped() -> None:
    assert "bgp" in bases()


def test_every_record_can_be_judged(machine: Datasheet) -> None:
    for name, parameter in machine.items():
        assert parameter.name == name
        assert parameter.source
        assert parameter.confidence in set(CONFIDENCE) - {"U"}
        assert parameter.unit in {"enum", "bool", "sizes"} or dimension_of(parameter.unit)


def test_a_guess_has_a_range_or_is_a_choice(machine: Datasheet) -> None:
    guessed = [parameter for parameter in machine.values() if parameter.confidence == "G"]
    missing = [
        parameter.name
        for parameter in guessed
        if parameter.name.startswith(("mmio", "dcr", "torus", "collective"))
        and (parameter.low is None or parameter.high is None)
    ]
    assert not missing


def test_every_time_is_a_whole_number_of_cycles_or_says_how_it_is_rounded(machine: Datasheet) -> None:
    for name, parameter in machine.items():
        if parameter.quantity is not None and parameter.quantity.dimension == "time":
            assert machine.cycles(name) >= 0


def test_values_in_base_units(machine: Datasheet) -> None:
    assert machine.integer("core.frequency") == 850_000_000
    assert machine["core.frequency"].value == 850
    assert machine["core.frequency"].text == "850 MHz"
    assert machine.integer("memory.size") == 2 * 2**30
    assert machine.integer("tlb.entries") == 64
    assert machine.sizes("tlb.page_sizes")[:2] == (1024, 4096)
    assert 4 * 2**20 not in machine.sizes("tlb.page_sizes")
    assert machine.cycles("mmio.latency") == 100


def test_a_changed_sheet_leaves_the_original_alone(machine: Datasheet) -> None:
    changed = machine.with_values({"tlb.entries": 256, "mmio.latency": "120 cycles"})
    assert changed.integer("tlb.entries") == 256
    assert changed.cycles("mmio.latency") == 120
    assert machine.integer("tlb.entries") == 64
    assert changed.overridden == ("mmio.latency", "tlb.entries")
    assert changed["tlb.entries"].source == "set by the user; the datasheet says 64"
    assert changed["tlb.entries"].confidence == "U"
    again = changed.with_values({"tlb.entries": 128})
    assert again["tlb.entries"].source == "set by the user; the datasheet says 64"
    assert again.overridden == ("mmio.latency", "tlb.entries")


def test_a_value_may_come_in_another_unit(machine: Datasheet) -> None:
    changed = machine.with_values({"core.frequency": "1.7 GHz", "memory.size": "4 GiB"})
    assert changed["core.frequency"].value == 1700
    assert changed.integer("memory.size") == 4 * 2**30


def test_all_problems_at_once(machine: Datasheet) -> None:
    with pytest.raises(DatasheetError) as refusal:
        machine.with_values(
            {
                "tlb.entrys": 256,
                "tlb.entries": "3 s",
                "memory.size": 4,
                "mmio.latency": "100 ns",
                "node.cores": 0,
                "dma.groups": 2.5,
                "tlb.page_sizes": "4 KB",
                "core.frequency": True,
            }
        )
    assert refusal.value.problems == {
        "tlb.entrys": "unknown parameter; did you mean 'tlb.entries'?",
        "tlb.entries": "'3 s' is a time, not a plain count; write a plain number",
        "memory.size": "'4' has no unit; write a size in bytes such as '4 KiB' "
        "(units: B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, bytes, byte)",
        "mmio.latency": "'100 ns' is a time, not a number of cycles; write a number of cycles such as "
        "'3 cycles' (units: cycles, k cycles, M cycles, G cycles, T cycles, cycle)",
        "node.cores": "0 is below 1, the least that makes sense",
        "dma.groups": "'2.5 count' is not a whole number",
        "tlb.page_sizes": "'4 KB' has the unknown unit 'KB'; did you mean 'kB' or 'KiB'?",
        "core.frequency": "True is neither a number nor text with a unit, such as '3 MHz'",
    }
    assert str(refusal.value).splitlines()[0] == "tlb.entrys: unknown parameter; did you mean 'tlb.entries'?"


def test_unknown_names(machine: Datasheet) -> None:
    with pytest.raises(UnknownParameterError) as refusal:
        machine["tlb.entry"]
    assert str(refusal.value) == "tlb.entry: unknown parameter; did you mean 'tlb.entries'?"
    assert "tlb.entry" not in machine
    assert machine.get("tlb.entry") is None
    with pytest.raises(DatasheetError, match=re.escape("did you mean 'tlb.page_sizes'?")):
        machine.with_values({"page_sizes": "4 KiB"})
    with pytest.raises(DatasheetError, match=r"bgq: unknown machine; did you mean 'bgp'\?"):
        Datasheet.load("bgq")


def test_a_getter_refuses_the_wrong_kind(machine: Datasheet) -> None:
    for getter, name, sentence in [
        (machine.cycles, "memory.size", "is a size in bytes and cannot be counted in cycles"),
        (machine.number, "tlb.page_sizes", "is of unit sizes, not a number"),
        (machine.text, "tlb.entries", "is of unit count, not enum"),
        (machine.flag, "tlb.entries", "is of unit count, not bool"),
        (machine.sizes, "tlb.entries", "is of unit count, not sizes"),
    ]:
        with pytest.raises(DatasheetError, match=re.escape(sentence)):
            getter(name)


def test_settings_nothing_has_read_are_known(machine: Datasheet) -> None:
    changed = machine.with_values({"tlb.entries": 256, "node.cores": 2})
    assert changed.overridden_unread == ("node.cores", "tlb.entries")
    changed.integer("tlb.entries")
    changed.digest()
    assert changed.overridden_unread == ("node.cores",)


def test_the_digest_is_of_the_machine_not_of_how_it_is_written(machine: Datasheet) -> None:
    assert machine.with_values({"core.frequency": "0.85 GHz"}).digest() == machine.digest()
    assert machine.with_values({"core.frequency": "851 MHz"}).digest() != machine.digest()


def test_a_sheet_and_its_errors_travel_to_workers(machine: Datasheet) -> None:
    changed = machine.with_values({"tlb.entries": 256})
    assert pickle.loads(pickle.dumps(changed)).digest() == changed.digest()
    error = pickle.loads(pickle.dumps(UnknownParameterError({"a.b": "unknown parameter"})))
    assert str(error) == "a.b: unknown parameter"
    assert error.problems == {"a.b": "unknown parameter"}


def test_a_record_is_read_in_either_spelling() -> None:
    assert Parameter.from_record(RECORD) == Parameter.from_record(RECORD | {"value": "0.1 us"})
    enum = Parameter.from_record(RECORD | {"unit": "enum", "value": "os", "choices": ["os", "o2"]})
    assert enum.with_value("o2").value == "o2"
    with pytest.raises(DatasheetError, match=r"some.latency: 'O2' is not one of os, o2; did you mean 'o2'\?"):
        enum.with_value("O2")
    flag = Parameter.from_record(RECORD | {"unit": "bool", "value": True})
    assert flag.with_value(False).text == "false"
    with pytest.raises(DatasheetError, match="'yes' is neither true nor false"):
        flag.with_value("yes")


def test_a_mean_count_takes_fractions_and_a_count_does_not() -> None:
    mean = Parameter.from_record(RECORD | {"unit": "count", "value": 21.0})
    assert mean.with_value(30).with_value(30.5).value == 30.5
    whole = Parameter.from_record(RECORD | {"unit": "count", "value": 21})
    with pytest.raises(DatasheetError, match="is not a whole number"):
        whole.with_value(30.5)


def test_incomplete_and_contradicting_records_are_refused() -> None:
    assert problem(source="") == "some.latency: has no source"
    assert problem(valeu=3) == "some.latency: unknown key 'valeu'; did you mean 'value'?"
    assert problem(unit="nsec") == "some.latency: unknown unit 'nsec'; did you mean 'ns'?"
    assert problem(name="Latency").startswith("Latency: is not a dotted name")
    assert problem(confidence="X").startswith("some.latency: unknown confidence mark 'X'")
    assert problem(confidence="U").startswith("some.latency: unknown confidence mark 'U'")
    assert "names the data it was calibrated on" in problem(confidence="C")
    assert "names the data it was calibrated on" in problem(calibrated_on="a table")
    assert problem(low=101) == "some.latency: value 100 is not within its own range 101 to 100"
    assert "is not one of 90, 110" in problem(choices=[90, 110])
    assert problem(round="ceil").startswith("some.latency: unknown rounding 'ceil'")
    assert problem(unit="enum", value="os") == "some.latency: an enum names its choices"
    assert problem(value="100 B").startswith("some.latency: '100 B' is a size in bytes, not a time")
    assert problem(source=["a list"]) == "some.latency: source is not text"


def test_the_parameter_table_names_every_parameter(machine: Datasheet) -> None:
    page = parameter_table()
    assert all(f"| `{name}` |" in page for name in machine)
    assert "| `core.frequency` | 850 MHz |" in page


def test_drift_of_the_parameter_table_is_noticed(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "reference" / "parameters.md"
    assert main([str(page), "--check"]) == 1
    assert main([str(page)]) == 0
    assert main([str(page), "--check"]) == 0
    page.write_text(page.read_text().replace("850 MHz", "851 MHz"))
    assert main([str(page), "--check"]) == 1
    assert "is not what the datasheet says" in capsys.readouterr().err
