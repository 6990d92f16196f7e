"""Cost models: written and read back, digests, and errors with their lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bgsim.machine import cost_model as cost
from bgsim.machine.cost_model import CostModel, CostModelError
from bgsim.network.detours import DetourSource

TICK = DetourSource("tick", 850_000.0, 0.1, True, (200.0, 900.0), (9.0, 1.0))


def model(**changes: object) -> CostModel:
    """Made up for tests: round numbers, and every section different."""
    made = CostModel(
        name="bare-metal/cnk",
        platform="bare-metal",
        guest="cnk",
        machine=cost.Machine("bgp", {}, {}),
        datasheet_digest="0123",
        characterisation_version=1,
        created_by="bgsim test",
        put=cost.OneSided(600.0, 100.0),
        get=cost.OneSided(700.0, 110.0),
        eager=cost.Eager(900.0, 50.0, 800.0, 60.0),
        rendezvous=cost.Rendezvous(1000.0, 1100.0, 300.0),
        local=cost.Local(300.0, 250.0, 0.5),
        collective=cost.Collective(400.0, 80.5, 90.0),
        barrier=cost.Barrier(200.0, 150.0),
        delivery=cost.Delivery((0.0, 40.0), (1.0, 1.0)),
        detours=(TICK,),
        measured=(cost.Measured("put post", 10, 600.0, 590.0, 620.0),),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_written_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    model().save(path)
    assert CostModel.load(path) == model()
    text = path.read_bytes()
    CostModel.load(path).save(path)
    assert path.read_bytes() == text


def test_the_version_is_read_under_its_old_name_too(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    model().save(path)
    text = path.read_text()
    assert "characterisation_version: 1\n" in text
    path.write_text(text.replace("characterisation_version", "model_version"))
    assert CostModel.load(path) == model()
    assert CostModel.load(path).digest == model().digest


def test_digest_is_of_what_affects_the_answer() -> None:
    same = model(created_by="another", measured=())
    assert same.digest == model().digest
    assert model(barrier=cost.Barrier(200.0, 151.0)).digest != model().digest
    assert model(detours=()).digest != model().digest


def test_every_problem_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    model().save(path)
    lines = path.read_text().splitlines()
    text = "\n".join(lines).replace("enter_cycles: 200.0", "enter_cycle: 200.0").replace("0.5", "half")
    text = text.replace("jitter: 0.1", "jitter: 1.5").replace("platform: bare-metal", "platform: 3")
    path.write_text(text)
    with pytest.raises(CostModelError) as caught:
        CostModel.load(path)
    said = "\n".join(caught.value.problems)
    for number, line in enumerate(text.splitlines(), start=1):
        for word in ("enter_cycle:", "half", "name: tick", "platform: 3"):
            if word in line:
                assert f"{path}:{number}:" in said, word
    assert "unknown key; did you mean 'enter_cycles'?" in said
    assert "expected a number, not negative, got 'half'" in said
    assert "jitter is a fraction" in said
    assert "platform: expected a text" in said


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", ""])
def test_not_a_model(text: str) -> None:
    with pytest.raises(CostModelError):
        CostModel.parse(text, "x.yaml")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CostModelError, match="cannot be read"):
        CostModel.load(tmp_path / "none.yaml")


def test_empty_delivery_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    model(delivery=cost.Delivery((), ())).save(path)
    with pytest.raises(CostModelError, match="delivery: as many values as weights"):
        CostModel.load(path)


def test_waits_of_networks_are_those_of_the_torus_where_a_file_has_no_others(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    model().save(path)
    assert "_delivery" not in path.read_text()
    assert CostModel.load(path).notices("barrier") == model().delivery
    own = cost.Delivery((3.0,), (1.0,))
    model(collective_delivery=own).save(path)
    assert CostModel.load(path).notices("collective") == own
    assert CostModel.load(path).notices("barrier") == model().delivery
    assert model(collective_delivery=own).digest != model().digest


def test_a_negative_cost_is_refused_where_it_is_made() -> None:
    with pytest.raises(CostModelError, match=r"collective\.receive_packet_cycles: .* is -106\.1 cycles"):
        model(collective=cost.Collective(400.0, 80.5, -106.1))


def test_detours_follow_from_model_and_seed() -> None:
    first, again, other = (model().interruptions(8, seed, 4) for seed in (1, 1, 2))
    assert first.table.phase.tolist() == again.table.phase.tolist() != other.table.phase.tolist()
    assert cost.shipped("no-platform", "no-guest") is None
