"""What the world around peers must be to their run files: neighbors, and time for lies."""

from collections.abc import Iterable, Iterator, Sequence

from p2pfed.config.model import RunConfig
from p2pfed.errors import ConfigError
from p2pfed.limits import NEIGHBORS_MAX
from sim.rounds_scope import ROUNDS
from sim.tables import Surrounding

Group = tuple[RunConfig, Sequence[int]]  # a run file, and the peers that have one like it


def degree_errors(
    world: Surrounding, groups: Sequence[Group], *, seed: int
) -> Iterator[tuple[int, ConfigError]]:
    """Yield peers that have more neighbors than they may, or fewer than they wait for.

    Args:
        world: The scenario's.
        groups: All peers.
        seed: Of the simulation, on which the graph may depend.
    """
    others = world.topology.nodes - 1
    if not any(
        config.schedule.start_neighbors or others > config.limits.neighbors_max
        for config, _ in groups
    ):
        return
    graph = world.topology.create(seed=seed).graph
    for config, peers in groups:
        for peer in peers:
            error = _degree_error(config, peer, graph.degree(peer))
            if error is not None:
                yield peer, error


def _degree_error(config: RunConfig, peer: int, degree: int) -> ConfigError | None:
    said = f"peer {peer} has {degree} neighbors in the graph"
    most, wanted = config.limits.neighbors_max, config.schedule.start_neighbors
    if degree > NEIGHBORS_MAX:
        fix = f"{said}, and none may have more than {NEIGHBORS_MAX}; write a sparser topology"
        return ConfigError("limits.neighbors_max", most, fix)
    if degree > most:
        fix = f"{said}; write at least {degree}, or a sparser topology"
        return ConfigError("limits.neighbors_max", most, fix)
    if wanted > degree:
        fix = f"{said}; write at most {degree}, or a denser topology"
        return ConfigError("schedule.start_neighbors", wanted, fix)
    return None


def check_sleepers(world: Surrounding, configs: Iterable[RunConfig]) -> None:
    """Refuse liars who would begin to lie after the last round.

    Args:
        world: The scenario's.
        configs: Run files, of each kind that some peer has.

    Raises:
        ConfigError: Naming the first such liar.
    """
    schedules = [config.schedule for config in configs]
    if any(it.rounds_max == 0 for it in schedules):
        return
    # With messages a liar counts what it publishes, once per gossip step.
    is_in_rounds = world.fidelity == ROUNDS
    rounds = max(it.rounds_max * (1 if is_in_rounds else it.gossip_steps) for it in schedules)
    for k, table in enumerate(world.adversaries):
        if "sleeper" not in table.kind.split("+") or table.peer in world.topology.relays:
            continue
        first_round = table.params.get("first_round", _first_round())
        if first_round < rounds:
            continue
        if "first_round" in table.params:
            fix = f"it never lies in {rounds} rounds; write less, or raise schedule.rounds_max"
            raise ConfigError(f"adversaries.{k}.first_round", first_round, fix)
        fix = f"it lies from round {first_round} on, and there are {rounds}; write first_round = …"
        raise ConfigError(f"adversaries.{k}.kind", table.kind, fix)


def _first_round() -> int:
    from sim.adversaries.attacks.sleeper import FIRST_ROUND  # needs torch, which others may not

    return FIRST_ROUND
