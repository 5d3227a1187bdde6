"""Byzantine-robust integration of vectors: (n, d) -> (d,). Needs torch and nothing else.

Rules are pure and made by name; an `Integrator` puts the checks around one that data from
strangers needs:

    rule = robust.create("trimmed-mean", byzantine_count=1)
    center = rule(vectors)

    integration = robust.Integrator("trimmed-mean").integrate(own, rows, genesis=genesis)

Importing this package does not import torch. Public names load their module when they are first
used.
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
    from robust.reputation.ledger import ReputationLedger as ReputationLedger
    from robust.reputation.ledger import ReputationStatus as ReputationStatus
    from robust.reputation.loss_gate import LossGate as LossGate
    from robust.reputation.loss_gate import LossGatePolicy as LossGatePolicy
    from robust.reputation.norm_gate import NormGate as NormGate
    from robust.reputation.policy import ReputationPolicy as ReputationPolicy
    from robust.reputation.record import Observation as Observation
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
    "Verdict": "robust.verdicts",
    "byzantine_count": "robust.tolerance",
    "create": "robust.registry",
    "names": "robust.registry",
    "pre_aggregation_names": "robust.registry",
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
    return sorted({*globals(), *_PUBLIC})
