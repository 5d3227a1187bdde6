"""Real peer processes for tests: folders with run files, `p2pfed node run`, and their outcomes."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from p2pfed.config import files
from p2pfed.config.files import parse
from p2pfed.demo.plan import free_ports

# Far above what any of these processes needs, on a machine that has a tenth of its time for them.
BOUND_S = 600.0
NODE_RUN = ("p2pfed.cli.main", "node", "run", "--json")


def write_peers(folder, identities, neighbors, config_of):
    """Write a folder per peer; return the folders.

    Args:
        folder: Where they go.
        identities: One per peer.
        neighbors: Function from a peer's number to its neighbors' numbers.
        config_of: Function from a peer's number to the content of its run file.
    """
    ports = free_ports(len(identities))
    folders = []
    for index, identity in enumerate(identities):
        place = folder / f"peer-{index}"
        (place / "state").mkdir(parents=True)
        key = place / "state" / "identity.key"
        key.write_bytes(identity.seed)
        key.chmod(0o600)
        config = parse(
            config_of(index),
            overrides={
                "node.listen": [f"/ip4/127.0.0.1/tcp/{ports[index]}"],
                "node.peers": [
                    f"/ip4/127.0.0.1/tcp/{ports[other]}/p2p/{identities[other].text}"
                    for other in neighbors(index)
                ],
            },
        )
        files.write(config, place / "run.toml")
        folders.append(place)
    return folders


class PeerProcess:
    """One `p2pfed node run --json`, with one torch thread.

    Args:
        folder: Of its run file.
        words: More of the command line.
        program: Module and words before the folder.
    """

    def __init__(self, folder: Path, *words, program=NODE_RUN):
        self.folder = folder
        self._log = folder / "node.log"
        self._process = subprocess.Popen(
            [sys.executable, "-m", *program, str(folder), *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        )
        self._lines = []
        # A read from the pipe has no deadline of its own; the end of the process ends it.
        self._watchdog = threading.Timer(BOUND_S, self._process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()

    def wait_for_line(self, text):
        """Read progress until a line holds `text`."""
        for line in self._process.stderr:
            self._lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"{text!r} never came:\n" + "".join(self._lines))

    def wait_until_told(self, *texts):
        """Read progress until each text has stood in a line since the start."""
        for text in texts:
            if not any(text in line for line in self._lines):
                self.wait_for_line(text)

    def kill(self):
        """End it as kill -9 does."""
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate(timeout=BOUND_S)

    def ask_to_leave(self):
        """Send what an operator's Ctrl-C sends."""
        self._process.send_signal(signal.SIGINT)

    def wait(self):
        """Wait for its end; return its exit code."""
        self._lines.append(self._process.communicate(timeout=BOUND_S)[1])
        return self._process.returncode

    def outcome(self):
        """Wait for its end and return the object that it printed."""
        output, errors = self._process.communicate(timeout=BOUND_S)
        assert self._process.returncode == 0, "".join(self._lines) + errors
        return json.loads(output)

    def end(self):
        """Make sure that nothing is left running."""
        self._watchdog.cancel()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(BOUND_S)
        for pipe in (self._process.stdout, self._process.stderr):
            pipe.close()
