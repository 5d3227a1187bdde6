"""Peers of a scenario in step, without network, time or protocol: their jobs, one by one."""

from collections.abc import Callable
from typing import final

from p2pfed.config.learning import Assembly, assemble
from p2pfed.config.model import RunConfig
from p2pfed.core.effects import IntegrationRow, StartIntegration, StartTraining
from p2pfed.identity import Identity, PeerId
from p2pfed.learn.jobs import IntegrationOutcome
from p2pfed.learn.workbench import Workbench
from p2pfed.messages import UpdateHeader, UpdateKind
from p2pfed.wire.hashes import content_hash
from sim.identities import identity_of
from sim.scenario import Scenario


@final
class PeersByHand:
    """All peers of a scenario, each made of its run file."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int,
        make: Callable[[RunConfig, Identity], Assembly] = assemble,
    ) -> None:
        nodes = scenario.world.topology.nodes
        self._graph = scenario.world.topology.create(seed=seed)
        self.identities = [identity_of(seed, index) for index in range(nodes)]
        self.configs = [scenario.run_config(index, seed=seed) for index in range(nodes)]
        self.assemblies = [
            make(config, identity)
            for config, identity in zip(self.configs, self.identities, strict=True)
        ]

    @property
    def benches(self) -> list[Workbench]:
        return [assembly.bench for assembly in self.assemblies]

    def play(self, round: int) -> list[IntegrationOutcome]:
        """Let all train, then let all integrate what their neighbors published."""
        peers = [identity.peer for identity in self.identities]
        payloads, headers = {}, {}
        for index, bench in enumerate(self.benches):
            effect = StartTraining(job=1, round=round, train=True, degree=self._degree(index))
            payload = bench.train(effect).payload
            payloads[content_hash(payload)] = payload
            headers[peers[index]] = make_header(peers[index], round, payload)
        return [
            bench.integrate(
                StartIntegration(
                    job=2,
                    round=round,
                    rows=tuple(
                        IntegrationRow(peer=author, header=headers[author], staleness=0)
                        for author in sorted(peers[it] for it in self._graph.neighbors(index))
                    ),
                    degree=self._degree(index),
                    evaluate=False,
                    test=False,
                ),
                payloads.__getitem__,
            )
            for index, bench in enumerate(self.benches)
        ]

    def digests(self) -> tuple[str, ...]:
        return tuple(bench.digest().hex() for bench in self.benches)

    def _degree(self, index: int) -> int:
        return len(self._graph.neighbors(index))


def make_header(author: PeerId, round: int, payload: bytes) -> UpdateHeader:
    return UpdateHeader(
        run_id=bytes(32),
        author=author,
        incarnation=0,
        sequence=round + 1,
        previous=bytes(32),
        kind=UpdateKind.FULL,
        base=0,
        round=round,
        gossip_step=1,
        method="full",
        codec="float32",
        payload_bytes=len(payload),
        payload_hash=content_hash(payload),
    )
