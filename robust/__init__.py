"""Whom to believe: Byzantine-robust integration of vectors, (n, d) -> (d,), and reputation.

Needs torch and nothing else; reputation and the gates need not even torch. What is public, by what
it is for:

* Combine vectors of which some may be lies: `create` makes a `Rule` by a name of `names()`, behind
  any of `pre_aggregation_names()` and a "+". A rule is called for the vector alone; its `aggregate`
  returns an `Aggregation`, which says what each row contributed. `byzantine_count` says how many
  liars to allow for. `register` gives a function of your own a name.
* Integrate what strangers sent: an `Integrator` checks each `Row`, combines them with the own
  vector and returns an `Integration`: the new vector, and of each neighbor a `Verdict` with a
  weight and a `Reason`. A `DistancePrioritizer` chooses which of many rows to look at; `Evaluate`
  is what scores a vector for rules that try rows out.
* Remember over rounds: a `ReputationLedger` takes an `Observation` of each neighbor and returns
  the masses, which are the caps of the next integration; `ReputationStatus` says where one stands,
  and a `ReputationPolicy` holds the constants. A `LossGate` (constants: `LossGatePolicy`) turns
  away who steadily harms the own held-out loss, a `NormGate` updates of unusual length that come
  one by one.
* Errors: `InputError` (a `RankError` of ranks) for vectors and arguments that cannot be read,
  `RuleError` for names and parameters (a `SnapshotError` of snapshots), `InfeasibleError` for too
  few rows: then keep the own vector.

A round, in which three agree and the fourth does not:

>>> import robust, torch
>>> own = torch.tensor([1.0, 2.0])
>>> sent = {"anna": [1.2, 2.0], "bert": [1.1, 2.2], "carl": [1.1, 1.9], "dora": [9.0, -9.0]}
>>> rows = [robust.Row(peer, torch.tensor(vector)) for peer, vector in sent.items()]
>>> result = robust.Integrator("trimmed-mean", norm_cap_ratio=None).integrate(own, rows)
>>> [round(value, 2) for value in result.vector.tolist()]
[1.13, 1.97]
>>> {verdict.peer: str(verdict.reason) for verdict in result.verdicts}
{'anna': 'accepted', 'bert': 'accepted', 'carl': 'accepted', 'dora': 'not-chosen'}
>>> vectors = torch.stack([own, *(row.vector for row in rows)])  # a rule alone
>>> robust.create("krum", byzantine_count=1)(vectors)
tensor([1.1000, 1.9000])

Importing this package does not import torch. Public names load their module when they are first
used. docs/robust.md is the guide.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from robust.bristle.prioritizer import DistancePrioritizer as DistancePrioritizer
    from robust.errors import InfeasibleError as InfeasibleError
    from robust.errors import InputError as InputError
    from robust.errors import RankError as RankError
    from robust.errors import RuleError as RuleError
    from robust.evaluation import Evaluate as Evaluate
    from robust.integrator import Integrator as Integrator
    from robust.registry import create as create
    from robust.registry import names as names
    from robust.registry import pre_aggregation_names as pre_aggregation_names
    from robust.registry import register as register
    from robust.reputation.ledger import ReputationLedger as ReputationLedger
    from robust.reputation.ledger import ReputationStatus as ReputationStatus
    from robust.reputation.loss_gate import LossGate as LossGate
    from robust.reputation.loss_gate import LossGatePolicy as LossGatePolicy
    from robust.reputation.norm_gate import NormGate as NormGate
    from robust.reputation.policy import ReputationPolicy as ReputationPolicy
    from robust.reputation.record import Observation as Observation
    from robust.reputation.snapshot import SnapshotError as SnapshotError
    from robust.rule import Aggregation as Aggregation
    from robust.rule import Rule as Rule
    from robust.sanitizer import Reason as Reason
    from robust.sanitizer import Row as Row
    from robust.tolerance import byzantine_count as byzantine_count
    from robust.verdicts import Integration as Integration
    from robust.verdicts import Verdict as Verdict

__p2pfed__: Final = True

# Public name -> the module that defines it.
_PUBLIC: Final = {
    "Aggregation": "robust.rule",
    "DistancePrioritizer": "robust.bristle.prioritizer",
    "Evaluate": "robust.evaluation",
    "InfeasibleError": "robust.errors",
    "InputError": "robust.errors",
    "Integration": "robust.verdicts",
    "Integrator": "robust.integrator",
    "LossGate": "robust.reputation.loss_gate",
    "LossGatePolicy": "robust.reputation.loss_gate",
    "NormGate": "robust.reputation.norm_gate",
    "Observation": "robust.reputation.record",
    "RankError": "robust.errors",
    "Reason": "robust.sanitizer",
    "ReputationLedger": "robust.reputation.ledger",
    "ReputationPolicy": "robust.reputation.policy",
    "ReputationStatus": "robust.reputation.ledger",
    "Row": "robust.sanitizer",
    "Rule": "robust.rule",
    "RuleError": "robust.errors",
    "SnapshotError": "robust.reputation.snapshot",
    "Verdict": "robust.verdicts",
    "byzantine_count": "robust.tolerance",
    "create": "robust.registry",
    "names": "robust.registry",
    "pre_aggregation_names": "robust.registry",
    "register": "robust.registry",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Load the module of a public name on its first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
