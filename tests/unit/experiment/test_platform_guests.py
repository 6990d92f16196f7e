"""Where no guest is named each platform takes the usual one; a pair that nobody built is refused."""

from __future__ import annotations

from typing import Any

import pytest

from bgsim.experiment.errors import ExperimentError
from bgsim.experiment.plan import load
from bgsim.experiment.points import labelled

EVERY = ["bare-metal", "l4-native", "hybrid", "virtual-machine"]


def experiment(**more: Any) -> dict[str, Any]:
    return {
        "name": "guests",
        "machine": "bgp",
        "partition": {"topology": "pair"},
        "platforms": EVERY,
        "workload": {"kind": "dcmf"},
        **more,
    }


def test_each_platform_has_its_usual_guest() -> None:
    found = {run.config["platform"]: run.config["guest"] for run in load(experiment()).runs}
    assert found == {**dict.fromkeys(EVERY, "cnk"), "l4-native": "l4-app"}


@pytest.mark.parametrize(
    ("guest", "wrong"),
    [("cnk", ["l4-native"]), ("l4-app", ["bare-metal", "hybrid", "virtual-machine"])],
)
def test_a_guest_that_is_named_has_to_fit_everywhere(guest: str, wrong: list[str]) -> None:
    with pytest.raises(ExperimentError) as refused:
        load(experiment(guest=guest))
    said = [problem.message for problem in refused.value.problems]
    assert len(said) == len(wrong)
    for platform, message in zip(wrong, said, strict=True):
        assert message.startswith(f"{guest} runs on ")
        assert message.endswith(f"not on '{platform}'")


def test_communication_that_the_kernel_does_cannot_be_moved_out() -> None:
    with pytest.raises(ExperimentError, match="kittyhawk-linux runs on bare-metal or virtual-machine, not"):
        load(
            experiment(
                guest="kittyhawk-linux",
                platforms=["hybrid"],
                workload={"kind": "noise"},
            )
        )


def record(platform: str, guest: str) -> dict[str, Any]:
    return {
        "platform": platform,
        "guest": guest,
        "point": {},
        "config": {"guest": guest, "platform": platform},
    }


def test_a_platforms_own_guest_is_no_axis() -> None:
    one = [record("bare-metal", "cnk"), record("l4-native", "l4-app")]
    assert labelled(one)[0] == ()
    assert labelled([*one, record("bare-metal", "zeptoos-bigmemory")])[0] == ("guest",)
