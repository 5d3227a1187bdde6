"""What a node's run tells while it lasts, and at its end."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from p2pfed.core.notices import Notice, StopReason
from p2pfed.node.status import NodeStatus

INTERRUPTED: Final = "interrupted"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEvent:
    """Something to show.

    Attributes:
        status: Where the node stands now.
        notice: What has just happened; None when the node has begun, and every few seconds.
    """

    status: NodeStatus
    notice: Notice | None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOutcome:
    """How a node's run ended.

    Attributes:
        status: Where it stood at the end.
        stop_reason: Why training ended: a `StopReason`, or `interrupted`.
        model_digest: BLAKE3-256 of the own vector, in hex; None when interrupted, since a step may
            have been cut in half then.
        state: Its state folder.
    """

    status: NodeStatus
    stop_reason: str
    model_digest: str | None
    state: Path

    @property
    def has_failed(self) -> bool:
        """Whether training was given up."""
        return self.stop_reason == StopReason.FAILED

    @property
    def has_waited_in_vain(self) -> bool:
        """Whether the neighbors that it had to wait for did not come."""
        return self.stop_reason == StopReason.NEIGHBORS

    @property
    def was_interrupted(self) -> bool:
        """Whether the node was told to leave before training had ended."""
        return self.stop_reason == INTERRUPTED

    def to_json_object(self) -> dict[str, Any]:
        """Return what `p2pfed node run --json` prints."""
        status = self.status.to_json_object()
        found = {
            "peer_id": status["peer_id"],
            "run_id": status["run_id"],
            "stop_reason": self.stop_reason,
            "rounds": status["round"],
            "sequence": status["sequence"],
        }
        same = ("score", "test_score", "bytes_sent", "bytes_received", "weights_by_peer")
        found |= {name: status[name] for name in same}
        events = ("rejected", "rejected_peers", "history", "privacy", "warning", "trouble")
        found |= {name: status[name] for name in events}
        return found | {"model_digest": self.model_digest, "state": str(self.state)}
