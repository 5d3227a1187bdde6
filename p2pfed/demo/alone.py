"""The comparison: each peer's data and steps, but no neighbors. Run as a process of its own."""

import json
import sys
from pathlib import Path

from p2pfed.config import files
from p2pfed.config.learning import assemble
from p2pfed.core.effects import StartTraining
from p2pfed.demo.plan import RUN_FILE
from p2pfed.learn.jobs import never
from p2pfed.node.opening import load_identity


def train_alone(folder: Path) -> dict[str, object]:
    """Train one peer of a demonstration without neighbors and evaluate it.

    The learner, the number of local steps, the batches and the initial values are those of the
    peer's run file, so that the exchange is the only difference.

    Args:
        folder: Of a peer whose plan has been written.

    Returns:
        Its test accuracy, the majority class's, and its number of examples.
    """
    config = files.load(folder / RUN_FILE)
    identity = load_identity(folder / config.node.state)
    assembly = assemble(config, identity)
    for round in range(config.schedule.rounds_max):
        assembly.bench.train(StartTraining(job=round, round=round, train=True, degree=0), never)
    accuracy, _ = assembly.bench.learner.evaluate("test", should_stop=never)
    assert assembly.task is not None
    return {
        "folder": str(folder),
        "accuracy": accuracy,
        "majority_accuracy": assembly.task.majority_accuracy("test"),
        "examples": assembly.bench.learner.example_count,
    }


def main() -> None:
    """Train the peers whose folders are the arguments; print a JSON line for each."""
    for argument in sys.argv[1:]:
        print(json.dumps(train_alone(Path(argument))), flush=True)


if __name__ == "__main__":
    main()
