"""The checkers of safety, which every world should have: nothing excuses what they find."""

from sim.checkers.blame import HonestUnblamed
from sim.checkers.bounds import BoundedEffects, BoundedState, BoundedWeights
from sim.checkers.sequences import SavedBeforeSent, UniqueSequences
from sim.watching import Watcher


def standard_checkers() -> list[Watcher]:
    """Make one of each, for one world."""
    return [
        UniqueSequences(),
        SavedBeforeSent(),
        HonestUnblamed(),
        BoundedEffects(),
        BoundedState(),
        BoundedWeights(),
    ]
