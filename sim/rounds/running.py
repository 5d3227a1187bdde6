"""`sim.rounds.run`: from a configuration to a result."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Final, final

import torch
from torch import Tensor

import robust
import topologies
from p2pfed.core.rejections import Rejections
from p2pfed.errors import ConfigError
from p2pfed.identity import PeerId
from p2pfed.learn.draws import draw_probe
from p2pfed.learn.examples import Examples
from p2pfed.learn.mixing import Claim
from p2pfed.learn.probing import can_be_probed, relative_gains
from p2pfed.learn.randomness import derive_seed
from p2pfed.learn.task import Task
from p2pfed.learn.tasks import load_task
from sim.compute.crowd_rule import measure_lengths
from sim.identities import identity_of
from sim.rounds.coalition import Coalition
from sim.rounds.config import RoundsConfig
from sim.rounds.crowd import Block
from sim.rounds.hearing import Hearing, Hearings
from sim.rounds.letters import Letters
from sim.rounds.meeting import Meeting, Meetings
from sim.rounds.model import HeldOutScores
from sim.rounds.neighborhood import Neighborhood
from sim.rounds.peer_round import PeerRound
from sim.rounds.pipeline import MakePipeline, Post, make_pipeline
from sim.rounds.population import Batched, Population, Sequential, step_counts
from sim.rounds.result import RoundsResult, Tally, plain_counts, rejected_ratio
from sim.rounds.threat import Threat
from sim.rounds.traffic import Acquaintances, Traffic

_POPULATIONS: Final = {"batched": Batched, "sequential": Sequential}


def run(config: RoundsConfig, *, pipeline: MakePipeline = make_pipeline) -> RoundsResult:
    """Let all peers learn in step, and tell how the honest ones fared.

    Every peer trains on its own rows and publishes the difference of its vector from the common
    initial one. Each honest peer integrates what its neighbors sent it; liars send what the attack
    makes of all that honest peers publish, another lie to each target if it likes.

    One configuration gives one result: on one machine, with one torch thread.

    Args:
        config: Who learns what, from whom, and who lies.
        pipeline: Makes what an honest peer integrates with, for experiments without the checks
            of `robust.Integrator`.

    Raises:
        ConfigError: If the task, the topology or a share of rows cannot be used, or an attack of
            one's own returns what no peer can send.
        RuleError: If a rule of one's own returns no vector.
    """
    given: object = config
    if not isinstance(given, RoundsConfig):
        fix = (
            "give a sim.RoundsConfig(…); sim.in_rounds.translation.rounds_config makes it of a file"
        )
        raise ConfigError("config", given, fix)
    session = Session(config, pipeline)
    for round in range(config.rounds):
        session.play(round)
    return session.summarize()


@final
class Session:
    """All that a run holds between two rounds.

    Args:
        config: Of the run.
        make: Makes pipelines.
    """

    def __init__(self, config: RoundsConfig, make: MakePipeline) -> None:
        self.config = config
        self.liars = config.place_liars()
        self.honest = [peer for peer in range(config.peers) if peer not in self.liars]
        self.threats = config.create_threats()
        self.silent = [peer for peer, threat in self.threats.items() if threat.is_silent]
        identities = [identity_of(config.seed, peer) for peer in range(config.peers)]
        self.names: list[bytes] = [identity.peer for identity in identities]
        self.probe_secrets = [identity.secret_number("probe") for identity in identities]
        self.number_of = {name: peer for peer, name in enumerate(self.names)}
        self.task, tasks = _share_out(config, self.threats)
        self.population: Population = _POPULATIONS[config.compute](
            tasks,
            [name.hex() for name in self.names],
            plan=config.plan,
            seed=config.shared_seed,
            method=config.method,
        )
        self.initial = self.population.vectors()[0]
        example_counts = [len(task.rows("train")) for task in tasks]
        self.meetings = Meetings(
            config,
            self.liars,
            silent=self.silent,
            example_counts=example_counts,
            # A pipeline of the caller's own may do anything.
            has_crowds=make is make_pipeline,
            size=len(self.initial),
        )
        self.coalition = Coalition(self.threats, seed=config.seed)
        specification = self.population.model.specification
        self.codec = config.method.codec(specification, self.initial) or config.codec
        self.letters = Letters(self.codec, self._claims(example_counts), size=len(self.initial))
        self.pipelines = {peer: make(self._post(peer, tasks[peer])) for peer in self.honest}
        policy = config.reputation
        self.ledgers = {
            peer: robust.ReputationLedger(policy) for peer in self.honest if policy is not None
        }
        self.gates = {
            peer: robust.LossGate(
                derive_seed(config.seed, "rounds/loss gate", peer), config.loss_gate
            )
            for peer in self.honest
            if config.loss_gate is not None
        }
        self.overrun: set[int] = set()
        self.tally = Tally(rejections=Rejections(self._name))
        self.traffic = Traffic(config.peers)
        self.known = Acquaintances()

    def play(self, round: int) -> tuple[int, ...]:
        """Train, exchange, integrate.

        Returns:
            Numbers of the honest peers whose training diverged.
        """
        start = self.population.vectors() if self._looks_back() else None
        diverged = self.population.train(round)
        vectors = self.population.vectors()
        if start is not None:
            vectors = self._weighed(start, vectors, round)
        # Only liars look at it.
        before = start - self.initial if start is not None and self.liars else vectors[:0]
        for step in range(1, self.config.gossip_steps + 1):
            is_last = step == self.config.gossip_steps
            self._exchange(vectors, before, round, is_last=is_last)
        self.population.load_vectors(vectors)
        return tuple(peer for peer in diverged if peer not in self.threats)

    def evaluate(self, split: str) -> dict[int, tuple[float, float]]:
        """Return score and mean loss of each honest peer's model on validation or test rows."""
        model, found = self.population.model, self.task.rows(split)
        rows = found.batch(torch.arange(len(found)))
        vectors = self.population.vectors()
        return {peer: model.measure(vectors[peer], self.task, rows) for peer in self.honest}

    def digests(self) -> list[str]:
        """Return the BLAKE3-256 of every peer's vector, in hexadecimal."""
        digest = self.population.model.specification.digest
        return [digest(vector).hex() for vector in self.population.vectors()]

    def consensus_distance(self) -> float:
        """Return the mean squared distance of the honest peers' vectors from their mean."""
        vectors = self.population.vectors()[self.honest]  # (h, d)
        spread = (vectors - vectors.mean(dim=0)).double().square().sum(dim=1)
        return float(spread.mean())

    def summarize(self) -> RoundsResult:
        """Evaluate the honest peers and return what was counted."""
        vectors = self.population.vectors()[self.honest]  # (h, d)
        model, test = self.population.model, self.task.rows("test")
        rows = test.batch(torch.arange(len(test)))
        return RoundsResult(
            config=self.config.describe(),
            accuracies={
                peer: model.score(vector, self.task, rows)
                for peer, vector in zip(self.honest, vectors, strict=True)
            },
            liar_weight=self.tally.liar_weight(),
            liar_rejected_ratio=rejected_ratio(self.tally.liar_reasons),
            false_rejected_ratio=rejected_ratio(self.tally.honest_reasons),
            false_ban_ratio=self._ban_ratio(of_liars=False),
            liar_ban_ratio=self._ban_ratio(of_liars=True),
            kept_own_ratio=self.tally.kept_own_ratio(),
            honest_reasons=plain_counts(self.tally.honest_reasons),
            liar_reasons=plain_counts(self.tally.liar_reasons),
            consensus_distance=self.consensus_distance(),
            honest_spread=self.tally.honest_spread(),
            result_error=self.tally.result_error(),
            bytes_per_peer=fmean(self.traffic.sent_bytes(peer) for peer in self.honest),
            liar_neighbor_ratio_max=self.known.liar_ratio_max,
            overrun_peers=tuple(sorted(self.overrun)),
            attack_success=self._attack_success(vectors, rows),
            model_digests={
                peer: model.specification.digest(vector).hex()
                for peer, vector in zip(self.honest, vectors, strict=True)
            },
        )

    def _looks_back(self) -> bool:
        """Return whether anything depends on where training began: a lie, or what steps count."""
        counts_steps = bool(self.config.normal_steps) or self.meetings.masses is not None
        return bool(self.liars) or counts_steps

    def _weighed(self, start: Tensor, after: Tensor, round: int) -> Tensor:
        """Return what steps led to, as they are to count, shape (n, d).

        Under push-sum, a step counts as much as anybody's in the sum that peers hold: its part of
        what a peer takes for the mean is the larger, the smaller its mass.

        Source: Assran, Loizou, Ballas and Rabbat 2019, "Stochastic gradient push for distributed
            deep learning", alg. 1.
        """
        masses, normal_steps = self.meetings.masses, self.config.normal_steps
        if masses is None and not normal_steps:
            return after
        found = after
        if normal_steps:
            names = [name.hex() for name in self.names]
            counts = step_counts(self.config.plan, names, seed=self.config.shared_seed, round=round)
            ratios = torch.tensor([normal_steps / count for count in counts])
            found = start + (found - start) * ratios[:, None]
        if masses is not None:
            found = start + (found - start) / masses
        is_sound = torch.isfinite(found).all(dim=1, keepdim=True)
        return torch.where(is_sound, found, start)

    def _exchange(self, vectors: Tensor, before: Tensor, round: int, *, is_last: bool) -> None:
        """Let all send and integrate once; overwrite their vectors, (n, d).

        Args:
            vectors: What all would go on from.
            before: Drifts from before the training.
            round: Number of the round.
            is_last: Whether the last gossip step of the round is taken.
        """
        meeting = self.meetings.next()
        drifts = vectors - self.initial  # (n, d)
        sent, byte_counts = self.letters.send(drifts)
        self.traffic.add(meeting, byte_counts, self.silent)
        self._look_at(meeting)
        own = sent if self.letters.has_copies else drifts
        hearings = Hearings(
            (meeting.places[peer] for peer in self.honest),
            lambda place: self._hear(place, sent, before, round),
        )
        for hearing in self._integrate_crowds(meeting, sent, vectors, hearings, is_last=is_last):
            peer = hearing.peer_round.place.peer
            integration = self._integrate(hearing, own[peer], sent, is_last=is_last)
            if integration is None or integration.kept_own:
                continue
            mixed = self.initial + integration.vector
            if self.letters.has_copies:  # by as much as what others know of it
                mixed = vectors[peer] + (mixed - (self.initial + own[peer]))
            vectors[peer] = mixed
        if self.liars:
            vectors[list(self.liars)] = self.initial + meeting.mixing @ sent

    def _look_at(self, meeting: Meeting) -> None:
        """Take note of who is whose neighbor, and where liars are too many."""
        if not self.known.is_new(meeting):
            return
        beta_max = self.config.integrator.get("beta_max", robust.Integrator().beta_max)
        for peer in self.honest:
            place = meeting.places[peer]
            self.known.add(place)
            if len(place.liars) > robust.byzantine_count(1 + len(place.weights), beta_max):
                self.overrun.add(peer)

    def _integrate_crowds(
        self,
        meeting: Meeting,
        published: Tensor,
        vectors: Tensor,
        hearings: Hearings,
        *,
        is_last: bool,
    ) -> Iterator[Hearing]:
        """Overwrite the vectors of those who can integrate at once; yield what the others hear."""
        left = set(self.honest)
        lengths = measure_lengths(published)
        for crowd in meeting.crowds:
            heard = [hearings.take(place) for place in crowd.places] if crowd.has_liars else []
            for block in crowd.integrate(published, lengths, [it.lies for it in heard]):
                peers = block.numbers[0]
                vectors.index_copy_(0, peers, block.vectors + self.initial)
                self.tally.add_block(block, self.names, is_last=is_last)
                self._measure_spread(block)
                left.difference_update(peers.tolist())
            yield from (it for it in heard if it.peer_round.place.peer in left)
            left.difference_update(it.peer_round.place.peer for it in heard)
        yield from (hearings.take(meeting.places[peer]) for peer in sorted(left))

    def _measure_spread(self, block: Block) -> None:
        if not self.config.measures_spread:
            return
        is_covered = [peer not in self.overrun for peer in block.numbers[0].tolist()]
        covered = block if all(is_covered) else block.at(torch.tensor(is_covered))
        self.tally.add_block_distances(covered.rows[: block.honest_count], covered.vectors)

    def _hear(self, place: Neighborhood, published: Tensor, before: Tensor, round: int) -> Hearing:
        """Ask the lying neighbors of a peer.

        Args:
            place: Whose neighborhood.
            published: What everybody would send if it were honest, shape (n, d).
            before: The same from before the training.
            round: Number of the round.
        """
        peer_round = PeerRound(
            pipeline=self.pipelines[place.peer],
            place=place,
            names=self.names,
            mass_caps=self._mass_caps(place, round),
            round=round,
            progress=round / self.config.rounds,
        )
        lies = self.coalition.rows(place, published, before, round=round, rule=peer_round.answer)
        return Hearing(peer_round=peer_round, lies=lies)

    def _integrate(
        self, hearing: Hearing, own: Tensor, published: Tensor, *, is_last: bool
    ) -> robust.Integration | None:
        """Return what a peer's pipeline says; None if nobody sent it anything.

        Args:
            hearing: What liars send it.
            own: The peer's own row, shape (d,).
            published: What everybody would send if it were honest, shape (n, d).
            is_last: Whether the last gossip step of the round is taken.
        """
        peer_round = hearing.peer_round
        place, round = peer_round.place, peer_round.round
        received = {number: published[number] for number in place.honest} | dict(hearing.lies)
        if not received:
            return None
        integration = peer_round.integrate(own, received)
        self.tally.add(place, integration, self.number_of, is_last=is_last)
        if self.config.measures_spread and place.peer not in self.overrun:
            self.tally.add_distances(published[place.honest_rows()], integration.vector)
        if place.peer in self.gates and is_last:
            self._probe(place.peer, own, received, integration, round)
        if place.peer in self.ledgers and is_last:
            self.ledgers[place.peer].observe(round, self._observations(place, integration))
        return integration

    def _observations(
        self, place: Neighborhood, integration: robust.Integration
    ) -> dict[bytes | str, robust.Observation]:
        """Return what the ledger is to know: whom the gate turns away earns nothing."""
        rejected = self._rejected(place)
        return {
            name: replace(found, performance=0.0) if name in rejected else found
            for name, found in integration.observations.items()
        }

    def _rejected(self, place: Neighborhood) -> tuple[bytes, ...]:
        """Return the neighbors that a peer's loss gate turns away."""
        gate = self.gates.get(place.peer)
        if gate is None:
            return ()
        return gate.rejected([self.names[number] for number in place.weights])

    def _probe(
        self,
        peer: int,
        own: Tensor,
        received: Mapping[int, Tensor],
        integration: robust.Integration,
        round: int,
    ) -> None:
        """Try out on a peer's held-out data those of its neighbors' rows that a node would."""
        gate, model = self.gates[peer], self.population.model
        held_out = self.task.rows("validation")
        rows = held_out.batch(
            draw_probe(len(held_out), secret=self.probe_secrets[peer], round=round)
        )
        sent = {self.names[number]: row for number, row in received.items()}
        reasons = {verdict.peer: verdict.reason for verdict in integration.verdicts}
        gains = relative_gains(
            lambda drift: model.loss(self.initial + drift, self.task, rows),
            own,
            {name: sent[name] for name in gate.probes(round, sent) if can_be_probed(reasons[name])},
        )
        gate.record(round, gains)

    def _mass_caps(self, place: Neighborhood, round: int) -> dict[int, float]:
        """Return the largest share of some neighbors, by what was known before this round."""
        names = {self.names[number]: number for number in place.weights}
        ledger, rejected = self.ledgers.get(place.peer), self._rejected(place)
        if ledger is None:
            return {names[name]: 0.0 for name in rejected}
        banned = [number for name, number in names.items() if ledger.is_banned(name, round)]
        self.tally.add_bans(place, banned)
        masses = ledger.masses(round, names, rejected=rejected)
        return {names[name]: mass for name, mass in masses.items()}

    def _post(self, peer: int, task: Task) -> Post:
        scores = HeldOutScores(self.population.model, task)
        method, specification = self.config.method, self.population.model.specification
        return Post(
            index=peer,
            rule=self.config.rule,
            options=self.config.integrator,
            observes=self.config.reputation is not None,
            gram=method.gram(specification, self.initial, fixed=self.population.model.fixed),
            electing=method.electing(specification, self.initial),
            scores=lambda drift: scores(self.initial + drift),
            seed=self.config.seed,
        )

    def _ban_ratio(self, *, of_liars: bool) -> float | None:
        if not self.ledgers:
            return None
        pairs = self.known.liars if of_liars else self.known.honest
        return len(pairs & self.tally.banned) / len(pairs) if pairs else None

    def _attack_success(self, vectors: Tensor, rows: Examples) -> float | None:
        model = self.population.model
        found = (threat.success(model, vectors, rows) for threat in self.threats.values())
        return next((it for it in found if it is not None), None)

    def _claims(self, example_counts: Sequence[int]) -> list[Claim]:
        """Return what peers say of themselves; in a graph that changes, of a first exchange."""
        topology = self.config.create_topology()
        if isinstance(topology, topologies.DynamicTopology):
            degrees = [len(row) for row in topology.at(0).out_neighbors]
        else:
            degrees = [len(topology.neighbors(peer)) for peer in range(self.config.peers)]
        return [
            Claim(examples=examples, degree=degree)
            for examples, degree in zip(example_counts, degrees, strict=True)
        ]

    def _name(self, peer: PeerId) -> str:
        return str(self.number_of[peer])


def _share_out(config: RoundsConfig, threats: Mapping[int, Threat]) -> tuple[Task, list[Task]]:
    """Return the whole task, and that of each peer."""
    whole = load_task(config.task, None)
    rows = whole.rows("train")
    shares = config.partition.split(
        rows.labels, whole.groups, seed=config.shared_seed, count=config.peers
    )
    tasks = [replace(whole, train=rows.subset(share), groups=None) for share in shares]
    for liar, threat in threats.items():
        tasks[liar] = threat.poison(tasks[liar])
    return whole, tasks
