"""Explanations: every cause shown, every column adds up exactly."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgsim.report.attribution import rows_of
from bgsim.report.explain import explain
from bgsim.report.numbers import apportion
from bgsim.report.results import ReportError
from bgsim.report.run_choice import find_run

CAUSE_COLUMNS = ("exits", "cycles L4", "cycles VMM", "cycles, all", "seconds", "share %")


def _table(text: str, title: str) -> tuple[list[dict[str, str]], dict[str, str]]:
    """Rows and total of one table of the text, cut where its columns end."""
    lines = text[text.index(title) :].splitlines()[1:]
    heading, rule = lines[0], lines[1]
    assert set(rule) == {"-"}
    names = re.split(r"\s{2,}", heading.strip())
    ends = [heading.index(name) + len(name) for name in names]
    rows: list[dict[str, str]] = []
    for line in lines[2:]:
        if not line or set(line) == {"-"}:
            if line:
                continue
            break
        row = {names[0]: line.split()[0]}
        for number in range(1, len(names)):
            # Numbers stand right-aligned below the end of their heading.
            start = line[: ends[number]].rfind("  ") + 2
            row[names[number]] = line[start : ends[number]].strip()
        rows.append(row)
    return rows[:-1], rows[-1]


def _sum(rows: list[dict[str, str]], column: str) -> Decimal:
    return sum((Decimal(row[column].replace(",", "")) for row in rows if row[column]), Decimal(0))


def test_every_column_of_causes_sums_to_its_total(compile_study: Any) -> None:
    for record in compile_study.records:
        rows, total = _table(explain(compile_study, record["run_id"]), "Where every second goes")
        assert total["cause"] == "total"
        assert {row["cause"] for row in rows} == set(record["attribution"])
        for column in CAUSE_COLUMNS:
            assert _sum(rows, column) == Decimal(total[column].replace(",", "")), column
        assert total["cycles, all"] == f"{sum(record['attribution'].values()):,}"
        assert total["share %"] == "100.00"


def test_every_column_of_exits_sums_to_its_total(compile_study: Any) -> None:
    text = explain(compile_study)
    rows, total = _table(text, "Exits, by the kernel's own counters")
    record = find_run(compile_study.records, None)
    assert [row["counter"] for row in rows] == [row["cause"] for row in record["exits"]]
    for column in ("exits", "cycles L4", "cycles VMM", "share of exit cycles %"):
        assert _sum(rows, column) == Decimal(total[column].replace(",", "")), column


def test_small_causes_are_not_grouped(compile_study: Any) -> None:
    text = explain(compile_study, find_run(compile_study.records, None)["run_id"])
    assert "PPC_HVM_EXCEPT_EXTERNAL" in text
    assert "other" not in text


def test_sensitivity_and_measured_time(compile_study: Any) -> None:
    text = explain(compile_study)
    assert "guest.cpi" in text
    assert "All together, as bounds and not as confidence limits: 79.05 to 273.1 s." in text
    assert "Measured, Stoess et al. 2011: 126 s." in text


def test_default_is_the_virtualised_default_program(compile_study: Any) -> None:
    record = find_run(compile_study.records, None)
    assert record["platform"] == "virtual-machine"
    assert record["point"]["workload.program"] == "gcc346"
    assert explain(compile_study).startswith(f"run {record['run_id']}\n")


def test_default_is_the_greatest_slowdown_and_says_how_to_see_another(study_of: Any) -> None:
    study = study_of("tlb-sweep")
    record = find_run(study.records, None)
    assert (record["platform"], record["replication"]) == ("virtual-machine", 0)
    assert list(record["point"].values()) == ["gcc346", 64], "the default program, and the smallest TLB"
    text = explain(study)
    assert "Of 16 runs this is the virtualised one of gcc346 with the greatest slowdown, 47.9x." in text
    last = text.splitlines()[-2:]
    assert last[1] == "  and 3 more, see records.jsonl"
    another = last[0].split()[0]
    assert explain(study, another).startswith(f"run {another}\n")
    assert "Another is shown by its id" not in explain(study, another)


def test_without_a_native_partner_the_first_virtualised_run_is_shown(
    study_class: type[Any], study_of: Any
) -> None:
    records = [each for each in study_of("tlb-sweep").records if each["platform"] == "virtual-machine"]
    planned = [{key: value for key, value in each.items() if key != "metrics"} for each in records]
    assert find_run(planned, None)["run_id"] == find_run(records, None)["run_id"]
    assert "Of 8 runs this is the first virtualised one of gcc346." in explain(study_class(records))
    assert "Another" not in explain(study_class(records[:1]))


def test_unique_prefix(compile_study: Any) -> None:
    record = compile_study.records[0]
    assert find_run(compile_study.records, record["run_id"][:6]) is record
    with pytest.raises(ReportError, match="begins with 'zz'"):
        find_run(compile_study.records, "zz")
    with pytest.raises(ReportError, match="6 runs have an id that begins with ''"):
        find_run(compile_study.records, "")


def test_damaged_record_is_refused(compile_study: Any) -> None:
    record: Any = find_run(compile_study.records, None)
    record["attribution"]["vmm"] += 1
    with pytest.raises(ReportError, match="the record is damaged"):
        explain(compile_study)


def test_run_without_attribution_is_refused(study_class: type[Any], compile_study: Any) -> None:
    record = dict(compile_study.records[0], attribution={})
    with pytest.raises(ReportError, match="has no attribution"):
        explain(study_class([record]))
    with pytest.raises(ReportError, match="holds no run"):
        explain(study_class([]))


def test_exit_with_its_own_vmm_cycles_is_split(compile_study: Any) -> None:
    record = find_run(compile_study.records, None)
    cause = record["exits"][0]["cause"]
    record["exits"][0]["cycles_l4"] -= 1000
    record["exits"][0]["cycles_vmm"] += 1000
    row = next(row for row in rows_of(record) if row.cause == cause)
    assert row.cycles_vmm == 1000
    assert row.cycles_l4 + row.cycles_vmm == row.cycles
    assert "have a cause of their own" not in explain(compile_study)
    record["exits"][0]["cycles_vmm"] += 1
    assert "have a cause of their own" in explain(compile_study)


def test_exits_served_by_the_vmm_count_as_ipc(compile_study: Any) -> None:
    record: Any = find_run(compile_study.records, None)
    ipc = record["attribution"]["ipc"]
    served = {"cause": "PPC_HVM_DTLB_MISS_RAM", "count": 12, "cycles_l4": ipc, "cycles_vmm": 58_392}
    not_an_exit = {"cause": "vmm_tlb_miss", "count": 24, "cycles_l4": 10_080, "cycles_vmm": 0}
    before = sum(row["count"] for row in record["exits"])
    record["exits"] += [served, not_an_exit]
    text = explain(compile_study)
    for title in ("Where every second goes", "Exits, by the kernel's own counters"):
        rows, total = _table(text, title)
        assert _sum(rows, "exits") == before + 12
        assert total["exits"] == f"{before + 12:,}"
    assert "stand among the causes as ipc" in text


def test_clock_of_the_machine_is_used(compile_study: Any) -> None:
    record = find_run(compile_study.records, None)
    record["config"]["machine"]["set"] = {"core.frequency": "1700 MHz"}
    assert "core cycles at 1,700 MHz" in explain(compile_study)
    assert "71.86000 s" in explain(compile_study)


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=30), st.integers(0, 10**6))
def test_apportioned_parts_add_up_and_stay_close(parts: list[int], units: int) -> None:
    shares = apportion(parts, units)
    total = sum(parts)
    if total == 0:
        assert shares == [0] * len(parts)
        return
    assert sum(shares) == units
    assert all(abs(share * total - part * units) < total for share, part in zip(shares, parts, strict=True))
