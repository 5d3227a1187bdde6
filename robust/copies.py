"""Rows that several neighbors sent bit for bit alike, which are to be no more voices than one."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from robust.intake import Call
from robust.sanitizer import Row, peer_key


def caps_of_copies(call: Call, norms: Mapping[bytes, float]) -> dict[bytes, float]:
    """Cap the masses of neighbors whose rows are equal, so that they have together what one has.

    All of a group get the same share of the most that one of them may have. Nobody is turned away:
    one of them may be the honest one that the others copied, or all may be honest and have learned
    nothing yet. Their rows are drawn towards the own one instead, as all rows with a cap are, which
    is safe in either case. Rows equal to the own one already are where they would be drawn.

    It finds those who copy and those who do not care. Liars that each change a last bit are not
    found, and are what f is for.

    Args:
        call: With the rows that the rule is to see.
        norms: Their lengths by peer key; rows that differ in it are not compared.

    Returns:
        The mass caps of the call, with those of copies lowered.

    Source: Fung et al. 2020, "The limitations of federated learning in Sybil settings": sybils are
        known by sending the same.
    Differs: exact copies only, of one round, and no similarity of angles, by which honest peers
        with like data are sybils.
    Cost: One hash of each row that has the length of another, and one comparison with the own row
        for each group; else O(n).
    """
    caps = dict(call.mass_caps)
    least = 1.0 / (len(call.accepted) + 1)
    for group in _equal_rows(call, norms):
        keys = [peer_key(row.peer) for row in group]
        # A voice counts as in `pulls_under_caps`.
        masses = [min(caps.get(key, 1.0), max(call.weights[key], least)) for key in keys]
        caps |= dict.fromkeys(keys, max(masses) / len(keys))
    return caps


def _equal_rows(call: Call, norms: Mapping[bytes, float]) -> list[list[Row]]:
    """Group the rows that are equal to each other and not to the own one."""
    by_norm: dict[float, list[Row]] = {}
    for row in call.accepted:
        by_norm.setdefault(norms[peer_key(row.peer)], []).append(row)
    by_content: dict[bytes, list[Row]] = {}
    for row in (it for rows in by_norm.values() if len(rows) > 1 for it in rows):
        by_content.setdefault(_digest(row.vector), []).append(row)
    return [
        group
        for group in by_content.values()
        if len(group) > 1 and not torch.equal(group[0].vector, call.own)
    ]


def _digest(vector: Tensor) -> bytes:
    # Comparing all pairs would let liars with rows of one length cost a pass for each pair.
    content = vector.detach().contiguous().view(torch.uint8).cpu().numpy()
    return hashlib.blake2b(content.data, digest_size=16).digest()
