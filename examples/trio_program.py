"""Peers inside a trio program: here two of them, each with half of the digits.

python examples/trio_program.py
"""

import tempfile
from pathlib import Path

import trio

import p2pfed
from p2pfed.config.model import RunConfig
from p2pfed.config.templates import template
from p2pfed.core.notices import Notice, RoundFinished


def run_file(index: int, neighbors: list[str]) -> RunConfig:
    """Return what a run file would say."""
    return template(
        "digits",
        overrides={
            "share.index": index,
            "share.count": 2,
            "schedule.rounds_max": 20,
            "schedule.start_neighbors": 1,
            "node.listen": ["/ip4/127.0.0.1/tcp/0"],
            "node.peers": neighbors,
        },
    )


def show(name: str, notice: Notice) -> None:
    """Print each evaluation."""
    if isinstance(notice, RoundFinished) and notice.evaluation is not None:
        print(f"{name}: round {notice.round}, accuracy {notice.evaluation.score:.3f}", flush=True)


async def main() -> None:
    """Run two peers until both have finished."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            p2pfed.open_node(
                run_file(0, []), state=Path(folder, "one"), on_notice=lambda n: show("one", n)
            ) as one,
            p2pfed.open_node(
                run_file(1, one.addresses),
                state=Path(folder, "two"),
                on_notice=lambda n: show("two", n),
            ) as two,
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.run)
                nursery.start_soon(two.run)
            print(f"two sent {two.traffic().sent_bytes} bytes")


if __name__ == "__main__":
    trio.run(main)
