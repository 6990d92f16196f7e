"""A compute node: its devices on its buses, connected to the networks.

Cores, TLBs and caches are not here; a platform brings them (what runs on a core decides how they are
modelled).
"""

from __future__ import annotations

from dataclasses import dataclass

from simpy import Environment

from bgsim.datasheet import Datasheet
from bgsim.hardware import barrier_device, collective_device, dma_registers
from bgsim.hardware import bic as bic_registers
from bgsim.hardware.activity import Activity
from bgsim.hardware.barrier_device import BarrierDevice
from bgsim.hardware.bic import Bic
from bgsim.hardware.bus import Bus
from bgsim.hardware.collective_device import CollectiveDevice
from bgsim.hardware.dcr import DcrBlock, DcrBus
from bgsim.hardware.decrementer import Decrementer
from bgsim.hardware.dma import Dma
from bgsim.hardware.memory import ObjectMemory
from bgsim.hardware.torus_port import TorusPort
from bgsim.network.barrier import BarrierNetwork, BarrierTree
from bgsim.network.collective import CollectiveNetwork
from bgsim.network.collective_packet import CollectiveParameters
from bgsim.network.topology import Closed, Coordinates, Shape, node_coordinates, node_count
from bgsim.network.torus import TorusNetwork
from bgsim.network.tree import PSET_NODES_DEFAULT, CollectiveTree
from bgsim.observer import built

TORUS_DCR_BASE = 0xC80
TORUS_DCR_COUNT = 0x80
TORUS_DCR_NODES = 0x01
TORUS_DCR_COORDINATES = 0x02


class Node:
    """One node.

    Parameters
    ----------
    environment
        Simulation environment in core cycles.
    number
        Node number in the partition.
    torus
        The torus network.
    collective
        The collective network; None for a node without the device.
    datasheet
        The machine.
    barrier
        The barrier network; None for a node without the device.

    Attributes
    ----------
    coordinates
        Position in the torus.
    bus, dcr
        Device registers by physical address, and by control register number.
    memory
        Objects that processors and the DMA engine share.
    activity
        Tells of changes of registers that programs poll.
    bic, dma, torus_port, collective, barrier
        The devices.
    decrementers
        One timer per core.
    """

    def __init__(
        self,
        environment: Environment,
        number: int,
        torus: TorusNetwork,
        collective: CollectiveNetwork | None,
        datasheet: Datasheet,
        barrier: BarrierNetwork | None = None,
    ) -> None:
        self.environment = environment
        self.number = number
        self.coordinates: Coordinates = node_coordinates(number, torus.shape)
        self.memory = ObjectMemory()
        self.activity = Activity(environment)
        self.bic = Bic()
        self.torus_port = TorusPort(number, torus, datasheet)
        self.dma = Dma(environment, self.torus_port, self.memory, self.bic, datasheet)
        self.dma.on_activity = self.activity.happened
        self.decrementers = tuple(Decrementer() for _ in range(datasheet.integer("node.cores")))
        self.bus = Bus()
        register_cycles = datasheet.cycles("mmio.latency")
        self.bus.attach(bic_registers.BASE, bic_registers.SIZE, self.bic, register_cycles)
        size = dma_registers.GROUPS * dma_registers.GROUP_SIZE
        self.bus.attach(dma_registers.BASE, size, self.dma, register_cycles)
        self.dcr = DcrBus()
        self.dcr.attach(dma_registers.DCR_BASE, dma_registers.DCR_COUNT, self.dma)
        self.dcr.attach(TORUS_DCR_BASE, TORUS_DCR_COUNT, _torus_control(self.coordinates, torus.shape))
        self.collective: CollectiveDevice | None = None
        if collective is not None:
            self.collective = CollectiveDevice(number, collective, self.bic, datasheet)
            self.collective.on_activity = self.activity.happened
            self.dcr.attach(collective_device.DCR_BASE, collective_device.DCR_COUNT, self.collective)
            access_cycles = datasheet.cycles("collective.access_latency")
            for base, channel in zip(collective_device.BASES, self.collective.channels, strict=True):
                self.bus.attach(base, collective_device.SIZE, channel, access_cycles)
        self.barrier: BarrierDevice | None = None
        if barrier is not None:
            self.barrier = BarrierDevice(number, barrier)
            self.barrier.on_activity = self.activity.happened
            self.dcr.attach(barrier_device.DCR_BASE, barrier_device.DCR_COUNT, self.barrier)
        built(self)


@dataclass(frozen=True, slots=True)
class Nodes:
    """Some nodes of a partition and the networks between them."""

    nodes: dict[int, Node]
    torus: TorusNetwork
    collective: CollectiveNetwork
    barrier: BarrierNetwork

    def check(self) -> None:
        """Assert that the networks have lost nothing."""
        self.torus.check()
        self.collective.check()


def build_nodes(
    environment: Environment,
    datasheet: Datasheet,
    shape: Shape,
    torus: Closed,
    numbers: tuple[int, ...] | None = None,
    pset: int | None = None,
) -> Nodes:
    """Nodes of a partition with torus, collective and barrier network.

    Parameters
    ----------
    environment
        Simulation environment in core cycles.
    datasheet
        The machine.
    shape
        Nodes in x, y and z.
    torus
        Whether each dimension is closed.
    numbers
        Which nodes take part; all when None. The others only route.
    pset
        Most compute nodes behind one I/O node, on which the collective tree depends; 64 when None.
    """
    torus_network = TorusNetwork(environment, shape, torus, datasheet)
    tree = CollectiveTree(shape, PSET_NODES_DEFAULT if pset is None else pset)
    collective_network = CollectiveNetwork(environment, tree, CollectiveParameters.from_datasheet(datasheet))
    chosen = range(node_count(shape)) if numbers is None else numbers
    barrier = BarrierNetwork(environment, BarrierTree.from_datasheet(node_count(shape), datasheet))
    nodes = {
        number: Node(environment, number, torus_network, collective_network, datasheet, barrier)
        for number in chosen
    }
    return Nodes(nodes, torus_network, collective_network, barrier)


def _torus_control(coordinates: Coordinates, shape: Shape) -> DcrBlock:
    def packed(x: int, y: int, z: int) -> int:
        return x << 16 | y << 8 | z

    return DcrBlock(
        {
            TORUS_DCR_NODES: packed(shape[0] - 1, shape[1] - 1, shape[2] - 1),
            TORUS_DCR_COORDINATES: packed(*coordinates),
        }
    )
