"""Lays out a demonstration: who neighbors whom, who owns which data, who attacks."""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import topologies
from p2pfed.config import files
from p2pfed.config.model import RunConfig
from p2pfed.config.templates import template
from p2pfed.core.randomness import derive_random
from p2pfed.demo.options import DemoOptions
from p2pfed.identity import Identity
from p2pfed.node.opening import load_identity

RUN_FILE: Final = "run.toml"

_DEGREE: Final = 4
_ALPHA: Final = 0.3  # Dirichlet: each peer sees a few classes only
_TESTS: Final = 3  # evaluations on test data per peer
_LINGER_S: Final = 600.0  # until it is told to leave; a killed peer may come back to serve
# guess: a hundred rounds. A machine that others load must not change who hears whom: processes that
# end close their connections at once, so that nobody waits so long for them.
_PATIENCE_S: Final = 300.0

# Small enough for two cores; at most 40 local steps of 12 texts.
_TASKS: Final[dict[str, dict[str, Any]]] = {
    "reuters": {
        "schedule.rounds_max": 14,
        "task.validation_rows": 32,
        "task.test_rows": 200,
        "task.tokens": 32,
    },
    "digits": {"schedule.rounds_max": 30},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPeer:
    """One process of the demonstration.

    Attributes:
        index: Its number.
        folder: Holds its run file, state and log.
        identity: Its key.
        config: Its run file.
        hostile: Whether it attacks.
    """

    index: int
    folder: Path
    identity: Identity
    config: RunConfig
    hostile: bool

    @property
    def state(self) -> Path:
        """Its state folder."""
        return self.folder / self.config.node.state


def make_plan(options: DemoOptions) -> list[PlannedPeer]:
    """Write a folder per peer: identity and run file.

    Raises:
        ConfigError: If the folder exists.
    """
    folders = [options.folder / f"peer-{index}" for index in range(options.peers)]
    identities = [load_identity(folder / "state") for folder in folders]
    ports = free_ports(options.peers)
    overlay = _overlay(options)
    generator = derive_random(options.seed.to_bytes(8, "little"), "demo/hostile")
    hostile = generator.sample(range(options.peers), k=options.hostile)
    planned = []
    for index, (folder, identity) in enumerate(zip(folders, identities, strict=True)):
        addresses = [
            f"/ip4/127.0.0.1/tcp/{ports[other]}/p2p/{identities[other].text}"
            for other in overlay.neighbors(index)
        ]
        config = _config(options, index=index, port=ports[index], neighbors=addresses)
        files.write(config, folder / RUN_FILE)
        planned.append(
            PlannedPeer(
                index=index,
                folder=folder,
                identity=identity,
                config=config,
                hostile=index in hostile,
            )
        )
    return planned


def _overlay(options: DemoOptions) -> topologies.Topology:
    if options.peers <= _DEGREE + 1:
        return topologies.create("complete", nodes=options.peers)
    return topologies.create("k-regular", nodes=options.peers, degree=_DEGREE, seed=options.seed)


def _config(options: DemoOptions, *, index: int, port: int, neighbors: list[str]) -> RunConfig:
    overrides = dict(_TASKS[options.task])
    if options.rounds is not None:
        overrides["schedule.rounds_max"] = options.rounds
    rounds: int = overrides["schedule.rounds_max"]
    overrides |= {
        "run.name": f"demo-{options.task}",
        "run.seed": options.seed,
        "share.name": "dirichlet",
        "share.alpha": _ALPHA,
        "share.index": index,
        "share.count": options.peers,
        "training.threads": 1,
        "integration.rule": options.rule,
        "schedule.mode": options.mode,
        "schedule.deadline_s": _PATIENCE_S,
        "schedule.linger_s": _LINGER_S,
        "schedule.start_neighbors": len(neighbors),
        "schedule.start_deadline_s": _PATIENCE_S,
        "schedule.evaluate_every_rounds": -(-rounds // _TESTS),
        "schedule.test_every_rounds": -(-rounds // _TESTS),
        "membership.suspicion_s": _PATIENCE_S,
        "node.listen": [f"/ip4/127.0.0.1/tcp/{port}"],
        "node.peers": neighbors,
    }
    if options.rule == "mean":
        overrides["integration.norm_cap_ratio"] = "off"  # plain averaging has no defence at all
    return template(options.task, overrides=overrides)


def free_ports(count: int) -> list[int]:
    """Ask the system for free ports; all are held until the last is found."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
