"""Looking at models that neighbors sent, with code that was not written for hostile ones."""

import logging
from collections.abc import Callable
from typing import TypeVar

from p2pfed.errors import P2PFedError

Measure = TypeVar("Measure")

_log = logging.getLogger(__name__)


def measure_foreign(measure: Callable[[], Measure], *, worst: Measure) -> Measure:
    """Measure a model in which a neighbor had a part; it can measure badly but cannot raise.

    A metric or loss of the application may refuse what a liar made up, as scikit-learn's refuse
    NaN. That must not fail the job: a peer gives up after a few failures.

    Args:
        measure: Evaluates the model, in code of the application.
        worst: What the model measures if that raises.

    Raises:
        P2PFedError: Of ours: the job is to stop, or this machine cannot evaluate at all.
    """
    try:
        return measure()
    except P2PFedError:
        raise
    except Exception as error:  # the edge to the application's metric and loss
        _log.warning("a neighbor's model cannot be evaluated and counts as the worst: %r", error)
        return worst
