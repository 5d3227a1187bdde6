"""Which machine each peer of a scenario has: its speed, its line and its clock."""

from collections.abc import Mapping
from dataclasses import dataclass

from sim.identities import random_for
from sim.lots import deal
from sim.network import PeerLine
from sim.tables import DeviceTable, Surrounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One peer's machine.

    Attributes:
        device: Number of its class in the scenario's list; None without one.
        speed_ratio: A job takes its time divided by this.
        line: Its connection to the network.
        clock_ahead_s: By how much its clock is ahead, in seconds.
        clock_rate_ratio: How fast its clock goes; 1 is right.
    """

    device: int | None
    speed_ratio: float
    line: PeerLine
    clock_ahead_s: float
    clock_rate_ratio: float


def machines_of(world: Surrounding, *, seed: int) -> list[Machine]:
    """Return every peer's machine, by number.

    Args:
        world: Its devices, network and clocks.
        seed: Of the simulation: draws who has which device, and how wrong clocks are.
    """
    owners = _owners(world, seed)
    network, compute = world.network, world.compute
    generator = random_for(seed, "clocks")
    machines = []
    for number in range(world.topology.nodes):
        owned = owners.get(number)
        device = DeviceTable(peers=[number]) if owned is None else world.devices[owned]
        up, down = device.upload_bytes_per_s, device.download_bytes_per_s
        line = PeerLine(
            upload_bytes_per_s=network.upload_bytes_per_s if up is None else up,
            download_bytes_per_s=network.download_bytes_per_s if down is None else down,
            latency_s=device.latency_s,
        )
        ahead, drift = (2.0 * generator.random() - 1.0 for _ in range(2))
        machines.append(
            Machine(
                device=owned,
                speed_ratio=device.speed_ratio,
                line=line,
                clock_ahead_s=compute.clock_spread_s * ahead,
                clock_rate_ratio=1.0 + compute.clock_drift_ratio * drift,
            )
        )
    return machines


def _owners(world: Surrounding, seed: int) -> Mapping[int, int]:
    """Give devices to the peers that they name, and shares to random ones of the others."""
    owners = {peer: kind for kind, it in enumerate(world.devices) for peer in it.peers or []}
    others = [number for number in range(world.topology.nodes) if number not in owners]
    shares = [device.share for device in world.devices]
    dealt = deal(shares, others, random_for(seed, "devices"), of=len(others))
    for kind, peers in enumerate(dealt):
        owners |= dict.fromkeys(peers, kind)
    return owners
