"""The runs of the attack matrix: looking them up, comparing them, and as one table."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean
from typing import Any

from benchmarks.attack_cells import NONE, PARTITIONS, SILENT, TOPOLOGIES, Cell

# Key of a cell to its line in the store.
Found = dict[tuple[Any, ...], dict[str, Any]]

SETTINGS = list(product(PARTITIONS, TOPOLOGIES))
JUDGED_TOPOLOGY = "6-regular"

_CELL_COLUMNS = ("rule", "attack", "partition", "topology", "seed")
_COLUMNS = (
    "mean_accuracy",
    "worst_accuracy",
    "worst_covered_accuracy",
    "liar_weight",
    "liar_rejected_ratio",
    "false_rejected_ratio",
    "false_ban_ratio",
    "liar_ban_ratio",
    "kept_own_ratio",
    "consensus_distance",
    "honest_spread",
    "result_error",
    "bytes_per_peer",
    "attack_success",
)


@dataclass(frozen=True, kw_only=True)
class Results:
    """The runs that a document is about.

    Attributes:
        found: All runs that are known.
        rules: The rules.
        attacks: Their names, silence and good behavior among them.
        seeds: The first is that of the whole matrix.
        shape: Peers, liars and rounds.
    """

    found: Found
    rules: Sequence[str]
    attacks: Sequence[str]
    seeds: Sequence[int]
    shape: Mapping[str, int]

    @property
    def lies(self) -> list[str]:
        """The attacks proper."""
        return [attack for attack in self.attacks if attack not in (SILENT, NONE)]

    def lines(self) -> list[dict[str, Any]]:
        """Return all runs, failed ones too, in order."""
        lines = [
            line
            for line in self.found.values()
            if line["cell"]["rule"] in self.rules
            and line["cell"]["seed"] in self.seeds
            and line["cell"]["attack"] in self.attacks
            and all(line["cell"][name] == number for name, number in self.shape.items())
        ]
        return sorted(lines, key=lambda line: tuple(map(str, line["cell"].values())))

    def runs(self, rule: str, *, of: Iterable[str]) -> list[dict[str, Any]]:
        """Return the sound runs of a rule under some attacks, first seed."""
        return [
            line
            for line in self.lines()
            if line["cell"]["rule"] == rule
            and line["cell"]["seed"] == self.seeds[0]
            and line["cell"]["attack"] in of
            and "error" not in line["result"]
        ]

    def result(
        self, rule: str, attack: str, setting: tuple[str, str], seed: int
    ) -> dict[str, Any] | None:
        """Return what a run found; None if it failed or was not made."""
        partition, topology = setting
        names = {"rule": rule, "attack": attack, "partition": partition, "topology": topology}
        line = self.found.get(Cell(**names, seed=seed, **self.shape).key())
        if line is None or "error" in line["result"]:
            return None
        result: dict[str, Any] = line["result"]
        return result

    def ranked(self) -> list[str]:
        """Order the rules by the mean of the worst honest accuracy.

        Over all attacks and both splits alike, on the judged graph, first seed. (On a ring, some
        peers hear nobody but liars, and their accuracy says little about a rule.) A rule that
        failed anywhere comes last.
        """
        settings = [it for it in SETTINGS if it[1] == JUDGED_TOPOLOGY]

        def criterion(rule: str) -> float:
            worsts = [
                run["result"]["worst_accuracy"]
                for run in self.runs(rule, of=self.lies)
                if setting_of(run) in settings
            ]
            return (
                fmean(worsts) if worsts and len(worsts) == len(self.lies) * len(settings) else 0.0
            )

        return sorted(self.rules, key=lambda rule: (-criterion(rule), rule))

    def losses(
        self, rule: str, attack: str, setting: tuple[str, str], *, covered: bool
    ) -> list[float]:
        """Return what an attack costs the honest peers against silent liars, one per seed.

        Args:
            rule: The rule.
            attack: The attack.
            setting: Partition and topology.
            covered: Leave out peers with more lying neighbors than their f.

        Returns:
            Points of mean accuracy.
        """
        losses = []
        for seed in self.seeds:
            lied = self.result(rule, attack, setting, seed)
            silent = self.result(rule, SILENT, setting, seed)
            if lied is None or silent is None:
                continue
            left_out = {str(it) for it in lied["overrun_peers"]} if covered else set()
            pairs = [
                (silent["accuracies"][peer], accuracy)
                for peer, accuracy in lied["accuracies"].items()
                if peer not in left_out
            ]
            if pairs:
                losses.append(100.0 * fmean(before - after for before, after in pairs))
        return losses

    def csv(self) -> str:
        """Return all sound runs as a table."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*_CELL_COLUMNS, *_COLUMNS, "overrun_peers", "cpu_seconds", "sources"])
        for line in self.lines():
            cell, result = line["cell"], line["result"]
            if "error" in result:
                continue
            numbers = ["" if result[it] is None else f"{result[it]:.5g}" for it in _COLUMNS]
            others = [len(result["overrun_peers"]), f"{line['cpu_seconds']:.2f}", line["sources"]]
            writer.writerow([*(cell[name] for name in _CELL_COLUMNS), *numbers, *others])
        return text.getvalue()


def setting_of(line: Mapping[str, Any]) -> tuple[str, str]:
    """Return the partition and the topology of a run."""
    return line["cell"]["partition"], line["cell"]["topology"]
