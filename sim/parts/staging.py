"""Making the part of a world that is simulated in this process."""

from collections.abc import Sequence

from sim.building import set_stage
from sim.parts.here import PartHere
from sim.parts.relay import Relay
from sim.scenario import Scenario


def part_here(scenario: Scenario, seed: int, part_of: Sequence[int], number: int) -> PartHere:
    """Make a part of the world of a scenario.

    Args:
        scenario: Which.
        seed: Of everything random.
        part_of: Which part each peer is in, by number.
        number: Of the part.

    Raises:
        ConfigError: If the scenario cannot be used.
    """
    relay = Relay()
    here = {peer for peer, part in enumerate(part_of) if part == number}
    stage = set_stage(scenario, seed, [relay], here=here)
    return PartHere(number, stage.world, part_of, stage.ending.is_reached, relay)
