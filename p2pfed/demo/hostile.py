"""A peer that attacks: the node's own code, publishing something else than it learned."""

import json
import sys
from pathlib import Path

from torch import Tensor

from p2pfed.config import files
from p2pfed.demo.options import HOSTILE_SCALE
from p2pfed.demo.plan import RUN_FILE
from p2pfed.node.running import run_process


def reverse(difference: Tensor) -> Tensor:
    """Return what is published in place of the own difference from the genesis, shape (d,)."""
    return HOSTILE_SCALE * difference


def main() -> None:
    """Run the hostile peer whose folder is the argument; print its outcome as JSON."""
    folder = Path(sys.argv[1])
    config = files.load(folder / RUN_FILE)
    outcome = run_process(config, folder, before_publish=reverse)
    print(json.dumps(outcome.to_json_object()), flush=True)


if __name__ == "__main__":
    main()
