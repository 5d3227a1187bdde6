"""`sim.rounds.run`: from a configuration to a result."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Final, final

import torch
from torch import Tensor

import robust
from p2pfed.learn.draws import draw_probe
from p2pfed.learn.probing import can_be_probed, relative_gains
from p2pfed.learn.randomness import derive_seed
from p2pfed.learn.task import Task
from p2pfed.learn.tasks import load_task
from sim.identities import identity_of
from sim.rounds.coalition import Coalition
from sim.rounds.config import RoundsConfig
from sim.rounds.crowd import find_crowds
from sim.rounds.model import HeldOutScores
from sim.rounds.neighborhood import Neighborhood, neighborhoods
from sim.rounds.peer_round import PeerRound
from sim.rounds.pipeline import MakePipeline, Post, make_pipeline
from sim.rounds.population import Batched, Population, Sequential
from sim.rounds.result import RoundsResult, Tally, plain_counts, rejected_ratio
from sim.rounds.threat import Threat

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
        self.threat = config.create_threat()
        identities = [identity_of(config.seed, peer) for peer in range(config.peers)]
        self.names: list[bytes] = [identity.peer for identity in identities]
        self.probe_secrets = [identity.secret_number("probe") for identity in identities]
        self.number_of = {name: peer for peer, name in enumerate(self.names)}
        self.task, tasks = _share_out(config, self.liars, self.threat)
        self.population: Population = _POPULATIONS[config.compute](
            tasks, [name.hex() for name in self.names], plan=config.plan, seed=config.seed
        )
        self.initial = self.population.vectors()[0]
        topology = config.create_topology()
        self.degrees = [len(topology.neighbors(peer)) for peer in range(config.peers)]
        self.places = neighborhoods(
            topology,
            self.liars,
            example_counts=[len(task.rows("train")) for task in tasks],
            mixing=config.mixing,
            is_silent=self.threat.is_silent,
        )
        self.coalition = Coalition(self.places, self.liars, self.threat, seed=config.seed)
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
        self.overrun = self._find_overrun()
        # A pipeline of the caller's own may do anything.
        own_places = [self.places[peer] for peer in self.honest]
        self.crowds = find_crowds(config, own_places) if make is make_pipeline else []
        self.tally = Tally()

    def play(self, round: int) -> None:
        """Train, exchange, integrate."""
        before = self.population.vectors() - self.initial
        self.population.train(round)
        vectors = self.population.vectors()
        for step in range(1, self.config.gossip_steps + 1):
            published = vectors - self.initial  # (n, d)
            is_last = step == self.config.gossip_steps
            for peer in self._integrate_crowds(published, vectors):
                integration = self._integrate(
                    self.places[peer], published, before, round, is_last=is_last
                )
                if integration is not None and not integration.kept_own:
                    vectors[peer] = self.initial + integration.vector
            vectors[list(self.liars)] = self.initial + self.coalition.mix(published)
        self.population.load_vectors(vectors)

    def summarize(self) -> RoundsResult:
        """Evaluate the honest peers and return what was counted."""
        vectors = self.population.vectors()[self.honest]  # (h, d)
        model, test = self.population.model, self.task.rows("test")
        rows = test.batch(torch.arange(len(test)))
        spread = (vectors - vectors.mean(dim=0)).double().square().sum(dim=1)
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
            consensus_distance=float(spread.mean()),
            honest_spread=self.tally.honest_spread(),
            result_error=self.tally.result_error(),
            bytes_per_peer=self._bytes_per_peer(),
            liar_neighbor_ratio_max=max(
                self.places[peer].liar_neighbor_ratio() for peer in self.honest
            ),
            overrun_peers=self.overrun,
            attack_success=self.threat.success(model, vectors, rows),
            model_digests={
                peer: model.specification.digest(vector).hex()
                for peer, vector in zip(self.honest, vectors, strict=True)
            },
        )

    def _integrate_crowds(self, published: Tensor, vectors: Tensor) -> list[int]:
        """Overwrite the vectors of those who can integrate at once; return the others."""
        if not self.crowds:
            return self.honest
        done: set[int] = set()
        lengths = torch.linalg.vector_norm(published, dim=1)
        for crowd in self.crowds:
            for block in crowd.integrate(published, lengths):
                vectors[block.peers] = block.vectors + self.initial
                self.tally.add_block(block.rows, block.vectors)
                done.update(block.peers.tolist())
        return [peer for peer in self.honest if peer not in done]

    def _integrate(
        self,
        place: Neighborhood,
        published: Tensor,
        before: Tensor,
        round: int,
        *,
        is_last: bool,
    ) -> robust.Integration | None:
        """Return what a peer's pipeline says; None if nobody sent it anything.

        Args:
            place: Whose neighborhood.
            published: What everybody would send if it were honest, shape (n, d).
            before: The same from before the training.
            round: Number of the round.
            is_last: Whether the last gossip step of the round is taken.
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
        received = {number: published[number] for number in place.honest} | lies
        if not received:
            return None
        integration = peer_round.integrate(published[place.peer], received)
        self.tally.add(place, integration, self.number_of)
        if place.peer not in self.overrun:
            self.tally.add_distances(published[place.honest_rows()], integration.vector)
        if place.peer in self.gates and is_last:
            self._probe(place.peer, published[place.peer], received, integration, round)
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
        return Post(
            index=peer,
            rule=self.config.rule,
            options=self.config.integrator,
            observes=self.config.reputation is not None,
            scores=lambda drift: scores(self.initial + drift),
            seed=self.config.seed,
        )

    def _ban_ratio(self, *, of_liars: bool) -> float | None:
        places = [self.places[peer] for peer in self.ledgers]
        pairs = {
            (place.peer, number)
            for place in places
            for number in (place.liars if of_liars else place.honest)
        }
        return len(pairs & self.tally.banned) / len(pairs) if pairs else None

    def _bytes_per_peer(self) -> float:
        exchanges = self.config.rounds * self.config.gossip_steps
        sent_rows = exchanges * fmean(self.degrees[peer] for peer in self.honest)
        return sent_rows * self.initial.numel() * self.initial.element_size()

    def _find_overrun(self) -> tuple[int, ...]:
        beta_max = self.config.integrator.get("beta_max", robust.Integrator().beta_max)
        return tuple(
            peer
            for peer in self.honest
            if len(self.places[peer].liars)
            > robust.byzantine_count(1 + len(self.places[peer].weights), beta_max)
        )


def _share_out(
    config: RoundsConfig, liars: Sequence[int], threat: Threat
) -> tuple[Task, list[Task]]:
    """Return the whole task, and that of each peer."""
    whole = load_task(config.task, None)
    rows = whole.rows("train")
    shares = config.partition.split(rows.labels, whole.groups, seed=config.seed, count=config.peers)
    tasks = [replace(whole, train=rows.subset(share), groups=None) for share in shares]
    for liar in liars:
        tasks[liar] = threat.poison(tasks[liar])
    return whole, tasks
