"""Virtual machines with less memory than their guests touch: refused when planned, where it was written."""

import pytest

from bgsim.experiment.errors import ExperimentError
from bgsim.experiment.plan import load


@pytest.fixture
def refusals(tmp_path):
    """Problems of a workload in virtual machines, without the file's name."""

    def plan(workload, settings="", guest="kittyhawk-linux"):
        path = tmp_path / "e.yaml"
        machine = f"machine: {{base: bgp, set: {{l4.smp: true, {settings}}}}}"
        path.write_text(
            f"name: e\npartition: {{topology: pair}}\nplatforms: [virtual-machine]\nguest: {guest}\n"
            f"{machine}\nworkload: {workload}\n"
        )
        try:
            load(path)
        except ExperimentError as error:
            return [str(problem).removeprefix(f"{path}:") for problem in error.problems]
        return []

    return plan


@pytest.mark.parametrize(
    ("workload", "guest", "has", "touches"),
    [
        ("{kind: compile, program: lcc}", "kittyhawk-linux", 252, 256),
        ("{kind: memory, size: 128 MiB}", "kittyhawk-linux", 128, 141),
        ("{kind: memory, size: 128 MiB}", "cnk", 128, 160),
        ("{kind: noise}", "cnk", 32, 33),
        ("{kind: micro}", "kittyhawk-linux", 8, 11),
        ("{kind: micro, operation: page-fault-touch, iterations: 10}", "zeptoos", 252, 255),
        ("{kind: netperf}", "kittyhawk-linux", 128, 256),
        ("{kind: dcmf}", "cnk", 32, 33),
        ("{kind: io, tier: detailed}", "kittyhawk-linux", 128, 256),
    ],
)
def test_a_virtual_machine_that_is_too_small_is_refused(refusals, workload, guest, has, touches) -> None:
    (said,) = refusals(workload, f"vmm.vm_memory: {has} MiB", guest)
    where = "5:57: machine.set.vmm.vm_memory: "
    assert said.startswith(
        f"{where}the virtual machine has {has} MiB, and its guest and program touch {touches}"
    )
    assert not refusals(workload, f"vmm.vm_memory: {-(-touches // 4) * 4} MiB", guest)


def test_so_is_a_share_of_the_node_that_is_too_small(refusals) -> None:
    build = "{kind: neighbours, program: build, neighbour: idle, cores: [0, 0, 0, 0, 0]}"
    share = "6:70: workload.cores: virtual machine 0 has 204 MiB, and its guest and program touch 256 MiB"
    assert refusals(build) == [f"{share}: at least that much"]
    table = "{kind: memory, size: 128 MiB, neighbour: random-walk, cores: [0, 1], memory: [64 MiB, 4 MiB]}"
    first, second = refusals(table)
    assert "workload.memory: virtual machine 0 has 64 MiB, and its guest and program touch 141 MiB" in first
    assert "workload.memory: virtual machine 1 has 4 MiB, and its guest and program touch 15 MiB" in second
    assert not refusals(table.replace("64 MiB, 4", "144 MiB, 16"))
