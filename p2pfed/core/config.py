"""What a peer's protocol needs to know before it starts; built by `p2pfed.config`."""

from dataclasses import dataclass, field
from enum import StrEnum

from p2pfed.identity import PeerId
from p2pfed.limits import Limits
from p2pfed.messages import Role
from robust.reputation.loss_gate import LossGatePolicy
from robust.reputation.policy import ReputationPolicy


class ScheduleMode(StrEnum):
    """When a peer integrates.

    ASYNCHRONOUS: after each training, whatever valid has arrived.
    SYNCHRONOUS: once every living neighbor's update of the same round is there, or the deadline.
    """

    ASYNCHRONOUS = "asynchronous"
    SYNCHRONOUS = "synchronous"


class IntegrationMoment(StrEnum):
    """When an asynchronous peer that trains integrates what has come.

    AFTER_TRAINING: As soon as its own update is out.
    WINDOW: When one of its windows of equal length ends (FedFix, Fraboni et al. 2023, "A general
        theory for federated optimization with asynchronous and heterogeneous clients updates").
    ARRIVALS: Once so many neighbors have sent something new (FedBuff, Nguyen et al. 2022,
        "Federated learning with buffered asynchronous aggregation"), or the deadline.
    """

    AFTER_TRAINING = "after-training"
    WINDOW = "window"
    ARRIVALS = "arrivals"


class IntervalAverage(StrEnum):
    """How a peer averages the intervals between the integrations that a neighbor takes part in.

    FEDAU: Over all intervals so far, which settles.
    FEDFIX: Over the last ten or so, which follows a neighbor that becomes slower or faster.
    """

    FEDAU = "fedau"
    FEDFIX = "fedfix"


class UpdateFamily(StrEnum):
    """What an update is to those before it, and whom it has to reach.

    WHOLE: The author's vector; the newest one replaces the others, and neighbors need it.
    DIFFERENCE: What changed in the vector since the one before, because the codec rounds too much
        to send anything else; neighbors need every one, or a full one.
    LEDGER: An entry of the author's log; everybody needs every one, or a snapshot.
    """

    WHOLE = "whole"
    DIFFERENCE = "difference"
    LEDGER = "ledger"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighborAddress:
    """A neighbor of the overlay graph that is dialed for as long as the peer lives."""

    peer: PeerId
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig:
    """Rounds, and when they end.

    Attributes:
        mode: See `ScheduleMode`.
        gossip_steps: How often what one training made is published and mixed; 1 unless peers are
            synchronous, and the same number at all of them.
        integrate: See `IntegrationMoment`; only of asynchronous peers.
        window_s: Length of a window, in seconds.
        arrivals: Neighbors with news that are waited for, at most `deadline_s`.
        recipients: Connected neighbors that an own update is for, drawn anew for each; None for
            all. Only of asynchronous peers, and of updates that neighbors need not have all.
        rounds_max: Stop after so many rounds; None for no bound.
        time_s_max: Stop after so much training time, over restarts, in seconds; None for none.
        plateau_evaluations: Stop when the validation score has not grown by `plateau_delta`
            over so many evaluations; None never stops.
        plateau_delta: Growth of the score that counts.
        deadline_s: How long a round waits for rows of neighbors, in seconds.
        linger_s: How long a peer that is done keeps serving, in seconds; where peers keep logs,
            after the last news of others, and at most ten times as long.
        start_neighbors: Neighbors to wait for before the first round.
        start_deadline_s: How long to wait for them, in seconds.
        start_required: Whether to wait at every start and not only before the first round, and to
            give up training when they do not come.
        evaluate_every_rounds: Rounds between evaluations on validation data; 0 for never, nor on
            test data.
        test_every_rounds: Rounds between evaluations on test data; 0 for only at the end.
        staleness_rounds_max: Own rounds for which a neighbor's row stays in use without a newer.
        job_attempts_max: Failed attempts at one job before the peer gives up training.
        job_pause_s: Pause before a failed job is tried again, in seconds.
    """

    mode: ScheduleMode = ScheduleMode.ASYNCHRONOUS
    gossip_steps: int = 1
    integrate: IntegrationMoment = IntegrationMoment.AFTER_TRAINING
    window_s: float = 10.0  # guess: several times a round on a laptop
    arrivals: int = 1
    recipients: int | None = None
    rounds_max: int | None = None
    time_s_max: float | None = None
    plateau_evaluations: int | None = None
    plateau_delta: float = 0.0
    deadline_s: float = 30.0  # guess: several times a round on a laptop
    linger_s: float = 60.0  # guess: a neighbor that restarts is back within a minute
    start_neighbors: int = 0
    start_deadline_s: float = 60.0  # guess: people start the second node within a minute
    start_required: bool = False
    evaluate_every_rounds: int = 1
    test_every_rounds: int = 0
    staleness_rounds_max: int = 10  # guess
    job_attempts_max: int = 3  # guess
    job_pause_s: float = 1.0  # guess


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipConfig:
    """Who the neighbors are and how they are watched.

    Attributes:
        neighbors: Configured neighbors; they are dialed and dialed again.
        neighbors_wanted: Dial peers learned from others until so many neighbors are connected.
        announce: Addresses under which others may dial this peer, without the PeerID.
        heartbeat_s: Period of heartbeats, in seconds.
        suspicion_s: Silence after which a neighbor counts as lost, in seconds.
        redial_s_min: Pause before the first redial, in seconds; doubles with each failure.
        redial_s_max: Longest pause between redials, in seconds.
        ban_s: Length of a first ban, in seconds; doubles with each further one.
        ban_s_max: Longest ban, in seconds; equivocation is banned for good.
    """

    neighbors: tuple[NeighborAddress, ...] = ()
    neighbors_wanted: int = 0
    announce: tuple[str, ...] = ()
    heartbeat_s: float = 2.0  # guess
    suspicion_s: float = 15.0  # guess: seven missed heartbeats
    redial_s_min: float = 0.5  # guess
    redial_s_max: float = 30.0  # guess
    ban_s: float = 60.0  # guess
    ban_s_max: float = 86_400.0  # a day: an operator has looked by then


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipationConfig:
    """How much more rows count that come seldom; see `p2pfed.core.participation`.

    Attributes:
        average: How intervals are averaged.
        base: The part of its mixing weight that a row of every integration counts, in (0, 1].
        weight_max: Largest interval that a row counts for, in own integrations, at least 1.
        interval_max: Own integrations after which an interval ends although the neighbor has not
            been there, at least 1: nobody weighs much by staying away.
    """

    average: IntervalAverage = IntervalAverage.FEDAU
    base: float = 0.5  # measured: half the mixing leaves room for rare rows to count five times
    weight_max: float = 5.0  # guess: machines of one run differ by less
    interval_max: int = 20  # guess: four times as long


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingConfig:
    """What neighbors earn over the rounds, and what that is worth.

    Attributes:
        policy: How reputation is earned and lost.
        loss_gate: How neighbors that harm the own held-out loss are found; None to probe nobody.
        groups_by_address: Whether neighbors from one block of addresses count as one person.
        has_quotas: Whether neighbors get the own updates as often as they have earned.
    """

    policy: ReputationPolicy
    loss_gate: LossGatePolicy | None = None
    groups_by_address: bool = False
    has_quotas: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreConfig:
    """Everything that a `PeerCore` is told.

    Attributes:
        run_id: BLAKE3-256 of the genesis.
        genesis_bytes: Size of the encoded genesis.
        genesis_fields: Field digests for Hello, `wire.genesis.field_digests`.
        method: Name of the update method of the run.
        codec: Name of the payload codec of the run.
        payload_bytes_max: Largest payload that the genesis' section limits allow.
        family: What an update is to those before it.
        role: Whether this peer trains.
        software: Name and version, for people.
        schedule: Rounds.
        membership: Neighbors.
        limits: Local bounds.
        standing: How neighbors earn their share over the rounds; None to count all alike.
        participation: How rows count that come seldom; None for as much as others.
        prioritizer_rows_max: Rows beyond which the prioritizer leaves some out, None without one.
            It decides nothing here: the application is told while there are too few.
    """

    run_id: bytes
    genesis_bytes: int
    genesis_fields: tuple[tuple[str, bytes], ...]
    method: str
    codec: str
    payload_bytes_max: int
    family: UpdateFamily = UpdateFamily.WHOLE
    role: Role = Role.TRAIN
    software: str = "p2pfed"
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    membership: MembershipConfig = field(default_factory=MembershipConfig)
    limits: Limits = field(default_factory=Limits)
    standing: StandingConfig | None = None
    participation: ParticipationConfig | None = None
    prioritizer_rows_max: int | None = None
