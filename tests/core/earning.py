"""A peer whose neighbors earn their share, and what they did in a round."""

import json

from p2pfed.core.config import ScheduleConfig, StandingConfig
from p2pfed.core.effects import StartIntegration
from p2pfed.core.events import NO_MASS, IntegrationFinished, Verdict
from p2pfed.core.notices import RoundFinished
from p2pfed.identity import Identity
from p2pfed.limits import Limits
from robust.reputation.loss_gate import LossGatePolicy
from robust.reputation.policy import ReputationPolicy
from tests.core.peers import BERT, CARL, DORA, make_config, make_core, make_hello, make_update
from tests.core.solo import Solo, Told, of_kind

NEIGHBORS = (BERT, CARL, DORA)
SCHEDULE = ScheduleConfig(rounds_max=100, evaluate_every_rounds=0)
# Judged after two rounds, banned after two bad ones.
POLICY = ReputationPolicy(observations_min=2, ban_streak=2, ban_rounds_first=50)
STANDING = StandingConfig(policy=POLICY)
# Everybody is probed in every round, and judged from the second probe on.
GATE = LossGatePolicy(probe_count=3, scores_min=2, margin_errors=0.0, memory=0.1)


def make_peer(
    standing: StandingConfig | None = STANDING,
    records: dict[str, bytes] | None = None,
    addresses: dict[bytes, str] | None = None,
    neighbors: tuple[Identity, ...] = NEIGHBORS,
    limits: Limits | None = None,
) -> Solo:
    config = make_config(neighbors=neighbors, schedule=SCHEDULE, standing=standing, limits=limits)
    peer = Solo(make_core(config, records=records))
    peer.start()
    for neighbor in NEIGHBORS:
        peer.connect(neighbor, (addresses or {}).get(neighbor.peer, ""))
        peer.receive(neighbor, make_hello())
    return peer


def do_round(
    peer: Solo,
    number: int,
    agreements: dict[bytes, float],
    gains: dict[bytes, float] | None = None,
    senders: tuple[Identity, ...] = NEIGHBORS,
) -> list[object]:
    """Take a row of each sender, integrate, and say how far each agreed with the others."""
    for neighbor in senders:
        peer.take(neighbor, make_update(neighbor, number + 1, round_number=number))
    peer.train()
    started = peer.last(StartIntegration)
    verdicts = tuple(
        Verdict(
            peer=row.peer,
            weight=0.25,
            reason=NO_MASS if row.mass_max == 0.0 else "",
            agreement=agreements[row.peer],
            norm_ratio=1.0,
            gain=(gains or {}).get(row.peer) if row.is_probed else None,
        )
        for row in started.rows
    )
    return peer.do(IntegrationFinished(job=started.job, verdicts=verdicts, own_weight=0.25))


def reasons(effects: list[object]) -> dict[bytes, str]:
    """Return why each neighbor's row was not used, as the application is told."""
    (told,) = [it for it in of_kind(effects, Told) if isinstance(it.notice, RoundFinished)]
    return {verdict.peer: verdict.reason for verdict in told.notice.verdicts}


def caps(peer: Solo) -> dict[bytes, float | None]:
    return {row.peer: row.mass_max for row in peer.last(StartIntegration).rows}


def key_of(who: Identity, kind: str = "reputation") -> str:
    return f"{kind}/{who.peer.hex()}"


def record_of(peer: Solo, who: Identity, kind: str = "reputation") -> dict[str, float]:
    """Return what is on disk about a neighbor."""
    (values,) = json.loads(peer.disk[key_of(who, kind)])["peers"].values()
    return values


HONEST = {BERT.peer: 0.9, CARL.peer: 0.8, DORA.peer: 0.85}
LIAR = {**HONEST, DORA.peer: 0.0}
ALIKE = dict.fromkeys(HONEST, 0.9)
HARM = {BERT.peer: 0.1, CARL.peer: 0.05, DORA.peer: -0.5}  # gains
