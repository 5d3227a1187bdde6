"""What `make compiled` builds does what the sources do, to the last bit."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest

from p2pfed.core.peer import PeerCore
from p2pfed.errors import LocalError
from sim.host import Host
from tests.core.peers import make_core

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, sys
import sim

result = sim.run(sys.argv[1], seed=3)
print(json.dumps([result.trace_digest, result.bytes_sent, result.metrics]))
"""

pytestmark = [pytest.mark.compiled, pytest.mark.slow]


def played(scenario: str, path: str) -> object:
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, str(ROOT / "scenarios" / scenario)],
        check=True,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout)


def test_this_is_compiled() -> None:
    assert not isinstance(PeerCore.handle, FunctionType)
    assert not isinstance(Host.deliver, FunctionType)


@pytest.mark.parametrize(
    "scenario",
    ["digits-ring.toml", "protocol-liars.toml", "sparse-sum-hierarchy.toml", "power-cut.toml"],
)
def test_simulations_are_the_same(scenario: str) -> None:
    assert played(scenario, os.environ["PYTHONPATH"]) == played(scenario, str(ROOT))


def test_a_snapshot_is_refused_with_a_reason() -> None:
    with pytest.raises(LocalError, match="a compiled core has no snapshots"):
        make_core().snapshot()
