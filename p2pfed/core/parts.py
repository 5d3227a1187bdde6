"""The parts of a peer and how they hang together.

A part knows only the parts above it in `assemble`; what others need of it they call, and what it
wants done it puts into the outbox.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from p2pfed.core.anti_entropy import AntiEntropy
from p2pfed.core.authors import Authors
from p2pfed.core.config import CoreConfig
from p2pfed.core.dialing import Dialing
from p2pfed.core.dissemination import Dissemination
from p2pfed.core.equivocation import Equivocation
from p2pfed.core.held import HeldUpdates
from p2pfed.core.idleness import Idleness
from p2pfed.core.inbox import Inbox
from p2pfed.core.jobs import Jobs
from p2pfed.core.journal import PROGRESS_KEY, Journal
from p2pfed.core.ledger import Ledger
from p2pfed.core.membership import Membership
from p2pfed.core.neighbors import Neighbors
from p2pfed.core.outbox import Outbox
from p2pfed.core.own import OwnUpdates
from p2pfed.core.pacing import Pacing
from p2pfed.core.participation import Participation
from p2pfed.core.plan import Plan
from p2pfed.core.progress import Progress
from p2pfed.core.randomness import derive_number, derive_random
from p2pfed.core.recipients import Recipients
from p2pfed.core.records import decode_progress
from p2pfed.core.rows import Rows
from p2pfed.core.schedule import Schedule
from p2pfed.core.standing import Standing
from p2pfed.core.transfers import Transfers
from p2pfed.core.uploads import Uploads
from p2pfed.core.work import Work
from p2pfed.errors import ConfigError
from p2pfed.identity import Signer, format_peer_id
from p2pfed.wire.reading import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What `PeerCore` passes events to.

    Attributes:
        outbox: Collects effects.
        neighbors: The neighbor table.
        own: Updates of this peer.
        held: Updates of others.
        journal: Writes down its progress.
        dialing: Opens connections.
        membership: Greets, watches and bans.
        transfers: Fetches and validates payloads.
        uploads: Serves payloads.
        dissemination: Publishes and takes updates.
        anti_entropy: Finds out what is missing.
        inbox: Takes frames.
        standing: Remembers what neighbors have earned.
        rows: Chooses what to integrate.
        schedule: Trains, publishes, integrates, stops.
    """

    outbox: Outbox
    neighbors: Neighbors
    own: OwnUpdates
    held: HeldUpdates
    journal: Journal
    dialing: Dialing
    membership: Membership
    transfers: Transfers
    uploads: Uploads
    dissemination: Dissemination
    anti_entropy: AntiEntropy
    inbox: Inbox
    standing: Standing
    rows: Rows
    schedule: Schedule


def assemble(
    config: CoreConfig,
    identity: Signer,
    *,
    entropy: bytes,
    records: Mapping[str, bytes],
    reader: Reader,
) -> Parts:
    """Return the parts of a peer, in the state that an earlier life saved.

    Raises:
        ConfigError: If the configured neighbors cannot be, or some recipients are not enough.
        LocalError: If a saved record is damaged, or of another run or identity.
    """
    _check_neighbors(config, identity)
    me = identity.peer
    record = decode_progress(records[PROGRESS_KEY]) if PROGRESS_KEY in records else None
    progress = Progress() if record is None else record.progress
    plan = Plan(config)
    jobs = Jobs(last=0 if record is None else record.job)
    outbox = Outbox()
    own = OwnUpdates(config, identity, partial(derive_number, entropy, "incarnation"), record)
    journal = Journal(config.run_id, progress, own, jobs, outbox)
    neighbors = Neighbors(config.membership.neighbors, config.limits)
    ledger = Ledger(config.limits, config.membership, records)
    dialing = Dialing(config, neighbors, ledger, outbox, derive_random(entropy, "dialing"), reader)
    standing = Standing(config, identity, neighbors, progress, records, outbox)
    recipients = Recipients(config, identity, own, neighbors, standing)
    participation = Participation(config, neighbors, records)
    membership = Membership(config, own, neighbors, dialing, ledger, standing, outbox)
    held = HeldUpdates(gossip_steps=config.schedule.gossip_steps)
    authors = Authors(config, me, neighbors, held)
    transfers = Transfers(config, own, held, neighbors, membership, jobs, outbox)
    uploads = Uploads(config, own, held, neighbors, recipients, outbox)
    known = (ledger, authors, neighbors)
    equivocation = Equivocation(me, config, *known, membership, outbox, reader)
    dissemination = Dissemination(
        config, me, own, held, transfers, journal, *known, equivocation, recipients, outbox, reader
    )
    anti_entropy = AntiEntropy(config, me, own, held, dissemination, *known, recipients, outbox)
    listeners = (membership, dialing, dissemination, anti_entropy, equivocation)
    inbox = Inbox(config.limits, neighbors, *listeners, outbox, reader)
    rows = Rows(config, held, authors, neighbors, ledger)
    idleness = Idleness(config, neighbors, outbox)
    credit = (standing, participation)
    work = Work(plan, own, rows, *credit, idleness, transfers, neighbors, jobs, outbox)
    pacing = Pacing(config, plan, rows, neighbors)
    parts = (journal, dissemination, anti_entropy, transfers, pacing, rows, *credit, work)
    schedule = Schedule(config, plan, *parts, ledger, neighbors, outbox)
    return Parts(
        outbox=outbox,
        neighbors=neighbors,
        own=own,
        held=held,
        journal=journal,
        dialing=dialing,
        membership=membership,
        transfers=transfers,
        uploads=uploads,
        dissemination=dissemination,
        anti_entropy=anti_entropy,
        inbox=inbox,
        standing=standing,
        rows=rows,
        schedule=schedule,
    )


def _check_neighbors(config: CoreConfig, identity: Signer) -> None:
    peers = [entry.peer for entry in config.membership.neighbors]
    if identity.peer in peers:
        raise ConfigError(
            "neighbors", format_peer_id(identity.peer), "this is the peer itself; remove it"
        )
    if len(set(peers)) != len(peers):
        raise ConfigError("neighbors", len(peers), "name each neighbor once")
    if len(peers) > config.limits.neighbors_max:
        raise ConfigError(
            "neighbors",
            len(peers),
            f"name at most neighbors_max = {config.limits.neighbors_max} of them",
        )
