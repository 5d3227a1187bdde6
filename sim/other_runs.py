"""Which entry of `[[variants]]` makes a peer one of another run."""

from collections.abc import Sequence
from inspect import signature
from typing import Final

from p2pfed.config.assembly import Agreement
from p2pfed.errors import ConfigError
from p2pfed.updates.registry import METHODS
from p2pfed.wire.genesis_report import difference
from sim.tables import VariantTable

_SHARED: Final = ("run", "method", "codec", "admission")  # tables of which a genesis tells


def other_run(
    variants: Sequence[VariantTable], index: int, agreed: Agreement, of_first: Agreement
) -> ConfigError:
    """Return that a variant changes what peers agree on, and the first such thing.

    Args:
        variants: The scenario's.
        index: Number of a peer whose genesis is another one than peer 0's.
        agreed: Its own.
        of_first: Peer 0's.
    """
    made, first = agreed.genesis, of_first.genesis
    constants = signature(METHODS[first.method.name]).parameters
    own = [name for name in constants if name not in first.method.constants]
    apart = [(k, it) for k, it in enumerate(variants) if (index in it.peers) != (0 in it.peers)]
    path = str(difference(made, first)).partition(":")[0].replace(".constants", "")
    changed = [
        (f".{field}".endswith(f".{path}"), k, field)
        for k, it in apart
        for field in it.fields
        if field.split(".")[0] in _SHARED and field.removeprefix("method.") not in own
    ]
    if not changed:
        fix = _fix(index, 0, difference(made, first), own)
        return ConfigError("variants", [it.fields for _, it in apart], fix)
    _, k, field = max(changed)
    if index in variants[k].peers:
        fix = _fix(index, 0, difference(made, first), own)
    else:
        fix = _fix(0, index, difference(first, made), own)
    return ConfigError(f"variants.{k}.fields.{field}", variants[k].fields[field], fix)


def _fix(odd: int, other: int, differs: str | None, own: Sequence[str]) -> str:
    but = f", but for {', '.join(own)} of the method" if own else ""
    return (
        f"peer {odd} would be of another run than peer {other} ({differs}); all peers share the "
        f"tables run, method, codec and admission{but}, and the model of the task: vary fields of "
        "other tables"
    )
