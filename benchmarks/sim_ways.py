"""One task, simulated in several ways: digits, a small perceptron, a 4-regular graph.

Each peer has 32 rows, drawn with replacement, and takes one step on all of them in a round.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final, final

import networkx as nx
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from typing_extensions import override

import sim
from p2pfed.core.notices import Notice, RoundFinished
from p2pfed.learn.digits import digits
from p2pfed.learn.learner import Plan
from p2pfed.learn.steps import Sgd
from p2pfed.learn.task import Task
from sim.host import Host
from sim.rounds.config import RoundsConfig
from sim.rounds.pipeline import make_pipeline
from sim.rounds.running import Session
from sim.watching import Watcher

ROWS: Final = 32
DEGREE: Final = 4
LEARNING_RATE: Final = 0.1
LIAR_SHARE: Final = 0.2
IN_PARTS: Final = "messages, processes"
COMPILED: Final = "messages, compiled"
COMPILED_IN_PARTS: Final = "messages, compiled, processes"
# Until then peers greet each other and tell whom they know.
_FIRST_ROUND: Final = 4
_TICKS: Final = 100  # of gossipy's clock in a round, as in its examples


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, in seconds: of the wall clock, and of CPUs for this process and its children."""

    wall_s: float
    cpu_s: float

    @staticmethod
    def now() -> "Moment":
        """Return the present one."""
        children_s = sum(_cpu_s(it.pid) for it in multiprocessing.active_children())
        return Moment(time.perf_counter(), time.process_time() + children_s)


def _cpu_s(process: int | None) -> float:
    """Return the CPU time of a process that runs, as Linux tells it."""
    told = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


Span = tuple[Moment, Moment]


def drawn_digits(*, peers: int) -> Task:
    """Make the task with 32 rows for each peer, drawn with replacement.

    Args:
        peers: How many will share the rows.
    """
    task = digits()
    rows = task.rows("train")
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randint(len(rows), (ROWS * peers,), generator=generator)
    return replace(task, train=rows.subset(drawn))


@final
class Marks(Watcher):
    """Takes the time when all peers have finished a round."""

    def __init__(self, peers: int) -> None:
        self._peers = peers
        self._finished: dict[int, int] = {}
        self.moments: dict[int, Moment] = {}

    @override
    def notice_given(self, host: Host, notice: Notice) -> None:
        if isinstance(notice, RoundFinished):
            count = self._finished.get(notice.round, 0) + 1
            self._finished[notice.round] = count
            if count == self._peers:
                self.moments[notice.round] = Moment.now()


def time_world(scenario: Mapping[str, Any], *, peers: int, rounds: int) -> Span:
    """Simulate every frame, and time rounds after the start and before the last.

    All models are tested in the last one, which no other way does.

    Args:
        scenario: All but the graph, and how long peers play in step.
        peers: How many.
        rounds: How many are timed.
    """
    marks = Marks(peers)
    played = {
        **scenario,
        "schedule": {
            "mode": "synchronous",
            "rounds_max": _FIRST_ROUND + rounds + 1,
            **scenario["schedule"],
        },
        "topology": {"name": "k-regular", "nodes": peers, "degree": DEGREE},
    }
    sim.run(played, watchers=[marks])
    return marks.moments[_FIRST_ROUND - 1], marks.moments[_FIRST_ROUND - 1 + rounds]


def time_rounds(config: RoundsConfig) -> Span:
    """Play a run in step; its first round is left out."""
    session = Session(config, make_pipeline)
    session.play(0)
    start = Moment.now()
    for round in range(1, config.rounds):
        session.play(round)
    return start, Moment.now()


def messages(peers: int, rounds: int, threads: int, *, processes: int = 1) -> Span:
    """Simulate the task with every frame."""
    scenario: dict[str, Any] = {
        "run": {"task": "benchmarks.sim_ways:drawn_digits"},
        "task": {"peers": peers},
        "method": {"name": "full"},
        "codec": {"name": "float32"},
        "training": {
            "steps_per_round": 1,
            "batch_size": ROWS,
            "threads": threads,
            "device": "cpu",
            "step_rule": {"name": "sgd", "learning_rate": LEARNING_RATE},
        },
        "integration": {"rule": "mean"},
        "schedule": {"evaluate_every_rounds": 1_000_000},
        "compute": {"processes": processes},
    }
    return time_world(scenario, peers=peers, rounds=rounds)


def messages_in_parts(peers: int, rounds: int, threads: int) -> Span:
    """Simulate the task with every frame, in as many processes of one thread each."""
    return messages(peers, rounds, 1, processes=threads)


def _rounds(rule: str, *, liar_share: float = 0.0) -> Callable[[int, int, int], Span]:
    def run(peers: int, rounds: int, threads: int) -> Span:
        torch.set_num_threads(threads)
        config = RoundsConfig(
            task=drawn_digits(peers=peers),
            plan=Plan(
                step_rule=Sgd(learning_rate=LEARNING_RATE), steps_per_round=1, batch_size=ROWS
            ),
            topology_params={"degree": DEGREE},
            peers=peers,
            rule=rule,
            rounds=rounds + 1,
            liars=round(liar_share * peers),
            attack="sign-flip" if liar_share else "none",
            measures_spread=False,  # as scenarios have it
        )
        return time_rounds(config)

    return run


def torch_loop(peers: int, rounds: int, threads: int) -> Span:
    """Train and average as one writes it by hand, without a network."""
    torch.set_num_threads(threads)
    task = drawn_digits(peers=peers)
    rows = task.rows("train")
    graph = nx.random_regular_graph(DEGREE, peers, seed=0)
    batches = [rows.batch(torch.arange(ROWS) + ROWS * peer) for peer in range(peers)]
    models = [task.create_model() for _ in range(peers)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=LEARNING_RATE) for model in models]

    def play() -> None:
        for model, optimizer, batch in zip(models, optimizers, batches, strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch.inputs), batch.labels).backward()
            optimizer.step()
        with torch.no_grad():
            vectors = torch.stack([parameters_to_vector(model.parameters()) for model in models])
            for peer, model in enumerate(models):
                mixed: Tensor = vectors[[peer, *graph[peer]]].mean(dim=0)
                vector_to_parameters(mixed, model.parameters())

    play()
    start = Moment.now()
    for _ in range(rounds):
        play()
    return start, Moment.now()


def gossipy(peers: int, rounds: int, threads: int) -> Span:
    """Let gossipy do it: each node pushes to one neighbor in a round, and nothing is signed."""
    # It imports torchvision for data sets that are not used here; PyPI's does not go with a torch
    # for CPUs.
    sys.modules.setdefault("torchvision", ModuleType("torchvision"))
    from gossipy.core import AntiEntropyProtocol, StaticP2PNetwork
    from gossipy.data import DataDispatcher
    from gossipy.data.handler import ClassificationDataHandler
    from gossipy.model import TorchModel
    from gossipy.model.handler import TorchModelHandler
    from gossipy.node import GossipNode
    from gossipy.simul import GossipSimulator

    torch.set_num_threads(threads)
    task = drawn_digits(peers=peers)
    rows = task.rows("train").batch(torch.arange(ROWS * peers))

    class Net(TorchModel):  # type: ignore[misc] # gossipy has no types
        def __init__(self) -> None:
            super().__init__()
            self.model = task.create_model()

        def init_weights(self) -> None:
            pass  # drawn when it was created

        def forward(self, inputs: Tensor) -> Tensor:
            outputs: Tensor = self.model(inputs)
            return outputs

    data = ClassificationDataHandler(rows.inputs, rows.labels, test_size=0.0)
    dispatcher = DataDispatcher(data, n=peers, eval_on_user=False)
    graph = nx.random_regular_graph(DEGREE, peers, seed=0)
    topology = nx.to_scipy_sparse_array(graph, format="csr")
    from scipy.sparse import csr_matrix

    nodes = GossipNode.generate(
        data_dispatcher=dispatcher,
        p2p_net=StaticP2PNetwork(peers, csr_matrix(topology)),
        model_proto=TorchModelHandler(
            net=Net(),
            optimizer=torch.optim.SGD,
            optimizer_params={"lr": LEARNING_RATE},
            criterion=nn.functional.cross_entropy,
            batch_size=ROWS,
        ),
        round_len=_TICKS,
        sync=True,
    )
    simulator = GossipSimulator(
        nodes=nodes,
        data_dispatcher=dispatcher,
        delta=_TICKS,
        protocol=AntiEntropyProtocol.PUSH,
    )
    simulator.init_nodes(seed=0)
    start = Moment.now()
    simulator.start(n_rounds=rounds)
    return start, Moment.now()


Way = Callable[[int, int, int], Span]

WAYS: Final[Mapping[str, Way]] = {
    "messages": messages,
    IN_PARTS: messages_in_parts,
    COMPILED: messages,
    COMPILED_IN_PARTS: messages_in_parts,
    "rounds, mean": _rounds("mean"),
    "rounds, trimmed mean": _rounds("trimmed-mean"),
    "rounds, trimmed mean, liars": _rounds("trimmed-mean", liar_share=LIAR_SHARE),
    "torch loop": torch_loop,
    "gossipy": gossipy,
}
