"""The runs of the attack matrix: looking them up, comparing them, and to and from one table."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from statistics import fmean
from typing import Any

from benchmarks.attack_cells import ATTACKS, NONE, PARTITIONS, SILENT, TOPOLOGIES, Cell

# Key of a cell to its line in the store.
Found = dict[tuple[Any, ...], dict[str, Any]]

SETTINGS = list(product(PARTITIONS, TOPOLOGIES))
JUDGED_TOPOLOGY = "6-regular"

_CELL_COLUMNS = ("rule", "attack", "partition", "topology", "seed")
_COLUMNS = (
    "mean_accuracy",
    "worst_accuracy",
    "covered_accuracy",
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
_OTHER_COLUMNS = ("overrun_peers", "cpu_seconds", "sources")


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
        return sorted(lines, key=_order)

    def runs(self, rule: str, *, of: Iterable[str]) -> list[dict[str, Any]]:
        """Return the sound runs of a rule under some attacks, first seed, in order."""
        found = [
            self._line(rule, attack, setting, self.seeds[0])
            for attack, setting in product(of, SETTINGS)
        ]
        return sorted((line for line in found if line is not None), key=_order)

    def result(
        self, rule: str, attack: str, setting: tuple[str, str], seed: int
    ) -> dict[str, Any] | None:
        """Return what a run found; None if it failed or was not made."""
        line = self._line(rule, attack, setting, seed)
        return None if line is None else line["result"]

    def _line(
        self, rule: str, attack: str, setting: tuple[str, str], seed: int
    ) -> dict[str, Any] | None:
        partition, topology = setting
        names = {"rule": rule, "attack": attack, "partition": partition, "topology": topology}
        line = self.found.get(Cell(**names, seed=seed, **self.shape).key())
        return None if line is None or "error" in line["result"] else line

    def chosen(self, default: str) -> list[str]:
        """Return the rules that were run with every seed on the judged graph, the default first."""
        rest = list(product(self.attacks, PARTITIONS, self.seeds[1:]))
        chosen = [
            rule
            for rule in self.ranked()
            if all(self.result(rule, it, (split, JUDGED_TOPOLOGY), s) for it, split, s in rest)
        ]
        return sorted(chosen, key=lambda rule: rule != default)

    def overrun(self, topology: str, seed: int) -> list[int]:
        """Return the honest peers with more lying neighbors than f, whatever rule they use."""
        for line in self.lines():
            cell, result = line["cell"], line["result"]
            if (cell["topology"], cell["seed"]) == (topology, seed) and cell["attack"] in self.lies:
                return list(result.get("overrun_peers", ()))
        return []

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
        self,
        rule: str,
        attack: str,
        setting: tuple[str, str],
        of: str = "mean_accuracy",
    ) -> list[float]:
        """Return what an attack costs the honest peers against silent liars.

        Args:
            rule: The rule.
            attack: The attack.
            setting: Partition and topology.
            of: The accuracy that is compared: that of all, of the worst, or of those peers with no
                more lying neighbors than their f ("covered").

        Returns:
            Points, one number per seed that was run.
        """
        losses = []
        for seed in self.seeds:
            lied = self.result(rule, attack, setting, seed)
            silent = self.result(rule, SILENT, setting, seed)
            if lied is None or silent is None or lied[of] is None or silent[of] is None:
                continue
            losses.append(100.0 * (silent[of] - lied[of]))
        return losses

    def csv(self) -> str:
        """Return all sound runs as a table, of which `read_csv` makes runs again."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*_CELL_COLUMNS, *_COLUMNS, *_OTHER_COLUMNS])
        for line in self.lines():
            cell, result = line["cell"], self._covered(line)
            if "error" in result:
                continue
            numbers = ["" if result[it] is None else f"{result[it]:.5g}" for it in _COLUMNS]
            overrun = " ".join(map(str, result["overrun_peers"]))
            others = [overrun, f"{line['cpu_seconds']:.2f}", line["sources"]]
            writer.writerow([*(cell[name] for name in _CELL_COLUMNS), *numbers, *others])
        return text.getvalue()

    def _covered(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """Return a run's result with the accuracies of the peers that its rule covers.

        In a run with silent liars nobody hears one, and yet those peers are compared that are
        covered where the liars speak: the same ones under every attack.
        """
        cell, result = line["cell"], line["result"]
        heard = replace(Cell(**cell), attack=NONE)
        spoken = self.found.get(heard.key(), line)["result"]
        if "error" in result or "error" in spoken:
            return dict(result)
        left_out = {str(it) for it in spoken["overrun_peers"]}
        covered = [it for peer, it in result["accuracies"].items() if peer not in left_out]
        return {
            **result,
            "overrun_peers": spoken["overrun_peers"],
            "covered_accuracy": fmean(covered) if covered else None,
            "worst_covered_accuracy": min(covered, default=None),
        }


def _order(line: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(map(str, line["cell"].values()))


def setting_of(line: Mapping[str, Any]) -> tuple[str, str]:
    """Return the partition and the topology of a run."""
    return line["cell"]["partition"], line["cell"]["topology"]


def results_of(text: str, shape: Mapping[str, int]) -> Results:
    """Return all that a table of `Results.csv` holds, attacks in the order of `ATTACKS`."""
    found = read_csv(text, shape)
    cells = [line["cell"] for line in found.values()]
    order = {attack: number for number, attack in enumerate(ATTACKS)}
    return Results(
        found=found,
        rules=sorted({cell["rule"] for cell in cells}),
        attacks=sorted(
            {cell["attack"] for cell in cells}, key=lambda it: (order.get(it, len(order)), it)
        ),
        seeds=sorted({cell["seed"] for cell in cells}),
        shape=shape,
    )


def read_csv(text: str, shape: Mapping[str, int]) -> Found:
    """Read what `Results.csv` wrote.

    Args:
        text: The table.
        shape: Peers, liars and rounds of its runs.
    """
    found: Found = {}
    for row in csv.DictReader(io.StringIO(text)):
        names = {name: row[name] for name in _CELL_COLUMNS if name != "seed"}
        cell = Cell(**names, seed=int(row["seed"]), **shape)
        result: dict[str, Any] = {it: float(row[it]) if row[it] else None for it in _COLUMNS}
        result["overrun_peers"] = [int(peer) for peer in row["overrun_peers"].split()]
        found[cell.key()] = {
            "cell": asdict(cell),
            "result": result,
            "cpu_seconds": float(row["cpu_seconds"]),
            "sources": row["sources"],
        }
    return found
