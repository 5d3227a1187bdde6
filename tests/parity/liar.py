"""A node that lies: `python -m tests.parity.liar FOLDER --attack NAME --seed N --index N`.

It is what `p2pfed node run` is, but for what attacks of the simulator make of the vectors that it
publishes and of the frames that it sends.
"""

import argparse
import json
from pathlib import Path

from p2pfed.config import files
from p2pfed.node.libp2p_transport import LibP2PTransport
from p2pfed.node.running import run_process
from sim.adversaries import registry


def main() -> None:
    """Run the node; print its outcome as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--attack", action="append", required=True, dest="attacks")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--index", type=int, required=True)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--rounds", type=int)
    words = parser.parse_args()
    liars = [registry.create(it, seed=words.seed, index=words.index) for it in words.attacks]
    send = LibP2PTransport.send

    def send_lies(transport, peer, frame):
        lies = [frame]
        for liar in liars:
            lies = [lie for it in lies for lie in liar.frames_to_send(peer, it)]
        for lie in lies:
            send(transport, peer, lie)

    def publish(difference):
        for liar in liars:
            difference = liar.difference(difference)
        return difference

    overrides = {} if words.rounds is None else {"schedule.rounds_max": words.rounds}
    LibP2PTransport.send = send_lies
    outcome = run_process(
        files.load(words.folder / "run.toml", overrides=overrides),
        words.folder,
        before_publish=publish,
        record=words.record,
    )
    print(json.dumps(outcome.to_json_object()), flush=True)


if __name__ == "__main__":
    main()
