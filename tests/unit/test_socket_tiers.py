"""Messages through sockets in the machine tier: acknowledgements, later work, and the detailed tier."""

from dataclasses import replace

import numpy as np
import pytest

from bgsim.datasheet import Datasheet
from bgsim.machine.acknowledgements import Acknowledgements
from bgsim.machine.cost_model import Delivery, needed, shipped
from bgsim.machine.networks import run_graph
from bgsim.machine.program import Placement, Program, Settings
from bgsim.network.detours import Detours
from bgsim.network.router import RouterParameters
from bgsim.workloads import execute
from bgsim.workloads.machine_configs import CollectivesConfig, HaloConfig
from bgsim.workloads.resolved import Partition, ResolvedRun

SHEET = Datasheet.load()
PAIR = Placement((2, 1, 1), (False,) * 3, np.arange(2), np.arange(2), 1)
COSTS = replace(shipped("bare-metal", "kittyhawk-linux"), delivery=Delivery((0.0,), (1.0,)))
STREAM = needed(COSTS.connection, "streams")


def due(table, source, destination, segments=1):
    return table.due(np.array(source), np.array(destination), segments).tolist()


def test_every_second_segment_of_a_stream_is_acknowledged():
    table = Acknowledgements(4, 2)
    assert [due(table, [0], [1]) for _ in range(4)] == [[0], [1], [0], [1]]
    assert due(table, [0, 2], [1, 1], 5) == [2, 2]
    assert due(table, [0, 2], [1, 1], 5) == [3, 3]


def test_what_is_sent_back_carries_it():
    table = Acknowledgements(4, 2)
    for _ in range(3):
        assert due(table, [0], [3]) == due(table, [3], [0]) == [0]
        assert due(table, [1, 2], [2, 1]) == [0, 0]
    assert due(table, [0], [3]) == [0]
    assert due(table, [0], [3]) == [1]


def times(*transfers):
    """When each rank is through with messages of 200 B, one after the other."""
    program = Program(PAIR, COSTS, Settings.from_datasheet(SHEET), np.zeros(2, np.int64), 1)
    for source, destination in transfers:
        program.transfer(np.array([source]), np.array([destination]), 200)
    last = program.last
    messages, gates, _ = program.graph()
    ran = run_graph(
        "uncontended", (2, 1, 1), (False,) * 3, RouterParameters(), messages, gates, Detours.none()
    )
    return ran.opened_cycles[last], messages


def test_nobody_waits_for_what_a_sender_does_later():
    send, receive = (round(cycles) for cycles in Program.eager_cycles(_program(), 200))
    (sender, receiver), messages = times((0, 1))
    assert sender == send
    assert receiver - send - receive == pytest.approx(800, abs=200)  # the torus
    assert messages.size == 1
    (sender, _), _ = times((0, 1), (1, 0))
    again = times((0, 1), (1, 0), (0, 1))[0][1]
    assert again > sender + send + receive


def _program():
    return Program(PAIR, COSTS, Settings.from_datasheet(SHEET), np.zeros(2, np.int64), 1)


def test_an_acknowledgement_is_a_message_and_the_receivers_work():
    once, twice = times((0, 1)), times((0, 1), (0, 1))
    assert twice[1].size == 3
    assert twice[0][1] - once[0][1] >= STREAM.acknowledge_cycles


@pytest.mark.parametrize(
    "section",
    [
        {"kind": "collectives", "operation": "barrier", "iterations": 8},
        {"kind": "collectives", "operation": "allreduce", "iterations": 8},
        {"kind": "halo", "grid": [8, 8, 8], "compute": "10 us", "iterations": 6},
        {"kind": "halo", "grid": [32, 32, 32], "compute": "10 us", "iterations": 4},
    ],
    ids=lambda section: str(section.get("operation", section.get("grid"))),
)
def test_natively_the_tiers_are_within_a_tenth(section):
    kind = HaloConfig if section["kind"] == "halo" else CollectivesConfig
    pair = Partition("pair", (2, 1, 1), (False,) * 3, 64)
    detailed, machine = (
        execute(
            ResolvedRun(
                SHEET,
                SHEET,
                pair,
                "bare-metal",
                "kittyhawk-linux",
                kind.model_validate({**section, "tier": tier}),
                1,
                0,
            )
        ).metrics["operation_us_avg"]
        for tier in ("detailed", "machine")
    )
    assert machine == pytest.approx(detailed, rel=0.1)
