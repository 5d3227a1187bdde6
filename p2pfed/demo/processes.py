"""The peers of a demonstration as processes: started, watched, and ended by pid."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from p2pfed.demo.plan import PlannedPeer

_END_S = 6.0  # a node promises to leave within 3 s


@final
class Child:
    """One process, its output in files.

    Args:
        name: Of its files in `folder`.
        folder: Where its output goes.
        arguments: Of the Python interpreter.
    """

    def __init__(self, name: str, folder: Path, arguments: Sequence[str]) -> None:
        self.output = folder / f"{name}.json"
        self.log = folder / f"{name}.log"
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",  # peers share the cores; one thread each
            "TOKENIZERS_PARALLELISM": "false",
        }
        with self.output.open("wb") as output, self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                env=environment,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code, None while it runs; negative for a signal."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: If it does not end in time.
        """
        return self._process.wait(timeout_s)

    def ask_to_end(self) -> None:
        """Ask it to leave in good order."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """Wait for it to leave, and kill it if it does not."""
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def objects(self) -> list[dict[str, Any]]:
        """Return the JSON objects that it printed, one a line."""
        lines = self.output.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.strip()]


def start_peer(planned: PlannedPeer) -> Child:
    """Start a peer: an honest one by the command line, a hostile one by its own module."""
    if planned.hostile:
        arguments = ["-m", "p2pfed.demo.hostile", str(planned.folder)]
    else:
        arguments = ["-m", "p2pfed.cli.main", "node", "run", str(planned.folder), "--json"]
    return Child("node", planned.folder, arguments)


def start_alone(folder: Path, name: str, planned: Sequence[PlannedPeer]) -> Child:
    """Start the comparison for some peers."""
    folders = [str(peer.folder) for peer in planned]
    return Child(name, folder, ["-m", "p2pfed.demo.alone", *folders])
