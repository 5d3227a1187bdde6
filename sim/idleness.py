"""Values that a scenario gives to its peers, and that none of them uses."""

from collections.abc import Iterator, Mapping, Sequence

from p2pfed.config.coherence import idle_fields, value_at
from p2pfed.config.model import RunConfig
from p2pfed.errors import ConfigError
from sim.tables import VariantTable


def alike_peers(variants: Sequence[VariantTable], *, nodes: int) -> list[list[int]]:
    """Return the peers of each combination of variants that some peer has, in order.

    Args:
        variants: The scenario's.
        nodes: How many peers there are.
    """
    of_peer: dict[int, list[int]] = {}
    for k, variant in enumerate(variants):
        for peer in variant.peers:
            of_peer.setdefault(peer, []).append(k)
    found: dict[tuple[int, ...], list[int]] = {}
    for peer in range(nodes):
        found.setdefault(tuple(of_peer.get(peer, ())), []).append(peer)
    return list(found.values())


def unused_of_run(configs: Mapping[int, RunConfig]) -> Iterator[tuple[int, ConfigError]]:
    """Yield what is wrong with each value that no peer uses, behind a peer that has it.

    One that some peer uses is right at the others, too: they share the tables.

    Args:
        configs: Run files by number of the peer.
    """
    idle = {peer: list(idle_fields(config)) for peer, config in configs.items()}
    unused_at = {peer: {it.field for it in errors} for peer, errors in idle.items()}
    for peer, errors in idle.items():
        for error in errors:
            is_used = any(
                error.field not in unused_at[other] and value_at(config, error.field) == error.value
                for other, config in configs.items()
            )
            if not is_used:
                yield peer, error
