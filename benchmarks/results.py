"""Runs the demonstration over several seeds and writes docs/results.md: `make results`.

python -m benchmarks.results                 # about half an hour on two cores
python -m benchmarks.results --task digits   # a few minutes; prints its rows and writes nothing
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "results.md"
README = ROOT / "README.md"
TASKS = ("digits", "reuters")
SEEDS = (0, 1, 2)
CASES = (("trimmed-mean", "one"), ("mean", "one"), ("trimmed-mean", "none"))

_HEAD = """\
# Measured results

Written by `make results`: real processes on one machine, every row over the seeds named. Accuracy
is on test data, mean over the honest peers; the hostile peer sends -10 times what it learned.
"Alone" is the same peers with the same number of local steps and no neighbors. Figures are mean
(least to most).

"""


def run_case(task: str, rule: str, hostile: str, seed: int) -> dict[str, Any]:
    """Run one demonstration in a process of its own and return what it found."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "p2pfed.cli.main", "demo", "--json", "--task", task]
        command += ["--rule", rule, "--hostile", hostile, "--seed", str(seed)]
        command += ["--out", str(Path(folder, "demo"))]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    print(task, rule, hostile, seed, found["mean_accuracy"], file=sys.stderr, flush=True)
    return found


def spread(values: Sequence[float], scale: float = 1.0, digits: int = 3) -> str:
    """Return mean, least and most."""
    scaled = [value * scale for value in values]
    mean = statistics.fmean(scaled)
    return f"{mean:.{digits}f} ({min(scaled):.{digits}f} to {max(scaled):.{digits}f})"


def row(task: str, rule: str, hostile: str, found: Sequence[dict[str, Any]]) -> str:
    """Return one line of the table."""
    weights = [f["hostile_weight_mass"] for f in found if f["hostile_weight_mass"] is not None]
    cells = [
        task,
        rule + (" without norm cap" if rule == "mean" else ""),
        hostile,
        spread([f["mean_accuracy"] for f in found]),
        spread([f["worst_accuracy"] for f in found]),
        spread([f["alone_mean_accuracy"] for f in found]),
        f"{found[0]['majority_accuracy']:.3f}",
        spread(weights) if weights else "",
        spread([f["bytes_sent_per_peer"] for f in found], 1e-6, 2),
        spread([f["wall_s"] for f in found], 1.0, 0),
    ]
    return "| " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all cases and write the table into docs/results.md and the README.

    Args:
        arguments: Those of the command line; None for the process' own.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", action="append", choices=TASKS, help="only this; repeatable")
    asked = parser.parse_args(arguments).task
    tasks = list(TASKS) if asked is None else list(dict.fromkeys(asked))
    header = (
        "| task | rule | hostile | together | worst peer | alone | majority class "
        "| hostile weight | MB sent per peer | seconds |"
    )
    lines = [header, "|---" * 10 + "|"]
    for task in tasks:
        for rule, hostile in CASES:
            found = [run_case(task, rule, hostile, seed) for seed in SEEDS]
            lines.append(row(task, rule, hostile, found))
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "peft", "libp2p"))
    machine = (
        f"Seeds {', '.join(map(str, SEEDS))}; {os.cpu_count()} cores {platform.machine()}, "
        f"Python {platform.python_version()}, {versions}."
    )
    table = "\n".join(lines) + f"\n\n{machine}\n"
    if set(tasks) != set(TASKS):
        print(table)
        print(f"{DOCUMENT} is left alone: these are not all tasks", file=sys.stderr)
        return
    DOCUMENT.write_text(_HEAD + table, encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    marked = f"<!-- results:begin -->\n{table}<!-- results:end -->"
    README.write_text(
        re.sub(r"<!-- results:begin -->.*<!-- results:end -->", lambda _: marked, text, flags=re.S),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
