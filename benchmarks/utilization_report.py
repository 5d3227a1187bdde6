"""docs/results/utilization.md: how much of the time peers train, and what takes the rest."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, Final

from benchmarks.utilization_updates import UPDATES, VALUES
from benchmarks.utilization_world import PEERS, ROUNDS, ROUNDS_OF_SHORT, STEPS, Setting, Utilization

TARGET: Final = 0.95
RECORD: Final = 20.0 / (20.0 + 70.0 / 60.0)  # 20 minutes of training, 70 s of communication
STEPS_S: Final = (1.0, 4.0, 10.0, 40.0)
RECORD_STEP_S: Final = 40.0

_HEAD: Final = """\
# Time for training on home lines

Written by `make results-utilization`. {peers} simulated peers, each on a home line of 100 Mbit/s up
and 100 Mbit/s down, 50 ms from each other one way, share updates of a LoRA of
{values:,} parameters after every {steps} local steps. Frames, transfers and shared lines
are those of `sim` with all messages; stubs stand in for the models, with payloads as large as the
codecs make them of {values:,} values (normal, deviation 0.001) and with jobs that take as
long as encoding and integrating them took one core of this machine.

Utilization is the share of virtual time in which a peer takes local steps, over {rounds} round
after a first one, and over {short} where asynchronous peers take steps of less than 10 s. The rest
is work, encoding and integrating, and waiting for updates of others.
The record in use is {record:.1%}: 20 minutes of training and 70 s of communication
(72 billion parameters, some 20 peers). A step of {step:g} s is that record's: 20 minutes for
{steps} steps. Wanted of `sparse-sum` with it: at least {target:.0%} at the worst peer.
"""

_COSTS: Final = """\
## What an update takes

| update | payload, MB | encode, s | check and decode one, s | integrate a round's, s |
|---|---|---|---|---|
"""

_MAIN: Final = """\
## With the record's steps

Mean over peers and seeds, and in brackets the least and the most of a seed. Share is the
utilization, MB what a peer sends in a round: framing, heartbeats and what it passes on are in it.
Updates are those of others that come into a model in a round, and their age is the time from
publication until then.

| update | graph | schedule | share | worst peer | work | waiting | round, s | MB | updates | age |
|---|---|---|---|---|---|---|---|---|---|---|
"""

_STEPS: Final = """\
## With shorter steps

Utilization of the worst peer of all seeds, and in brackets how many updates of others come into a
model per round. What is empty was not simulated: transfers take minutes there.

| update | graph | schedule | {heads} |
|---|---|---|{rules}|
"""

_JITTER: Final = """\
## Where peers differ

`sparse-sum`, 4-regular, {step:g} s a step, where each job takes up to {ratio:.0%} more or less:
synchronous peers wait for the slowest neighbor, whatever they send.

| schedule | utilization | worst peer |
|---|---|---|
"""

_READING: Final = """\
## How to read this

* Asynchronous peers train while transfers run: they never wait, and what is too large shows in the
  last two columns instead. Where a round is shorter than its transfers, models take in few updates
  or none.
* Synchronous peers wait for the rows of their neighbors. An entry of a ledger such as `sparse-sum`
  has to reach everybody: with 4 neighbors it is passed on while the next round trains, and comes
  into most models with that round; in the complete graph it is waited for.
* LoRA without a ledger reaches neighbors only, so that 4 neighbors are 4 updates; `complete` is
  what it takes to have all of {others}. `float32` then waits longer than its bytes need:
  {others} updates of a round and those of the last are more than
  `limits.payload_store_bytes_max` (4 GiB). With four times that, peers wait for half as long.
* Heartbeats, signatures, relaying and offers are part of it; writing models to disk and the other
  load of a machine are not.
"""


def document(
    measured: Mapping[str, Mapping[str, Any]],
    cells: Mapping[Setting, Utilization],
    machine: Mapping[str, Any],
) -> str:
    """Return the document's text."""
    head = _HEAD.format(
        peers=PEERS,
        values=VALUES,
        steps=STEPS,
        rounds=ROUNDS,
        short=ROUNDS_OF_SHORT,
        record=RECORD,
        step=RECORD_STEP_S,
        target=TARGET,
    )
    heads = " | ".join(f"{step_s:g} s" for step_s in STEPS_S)
    jitter = sorted({setting.jitter_ratio for setting in cells})[-1]
    misses = "; ".join(missed(measured, cells)) or "nothing"
    seeds = ", ".join(str(seed) for seed in sorted({setting.seed for setting in cells}))
    last = (
        f"Missed: {misses}.\n\n"
        f"Seeds: {seeds} of `sparse-sum` on 4-regular graphs, 0 of all else, where they draw\n"
        "little but when peers start.\n\n"
        f"Machine: {', '.join(f'{key} {value}' for key, value in machine.items())}.\n"
    )
    parts = [
        head,
        _COSTS + "\n".join(_costs(measured)) + "\n",
        _MAIN + "\n".join(_main(cells)) + "\n",
        _STEPS.format(heads=heads, rules="---|" * (len(STEPS_S) - 1) + "---")
        + "\n".join(_steps(cells))
        + "\n",
    ]
    if jitter:
        rows = "\n".join(_jitter(cells, jitter))
        parts.append(_JITTER.format(step=RECORD_STEP_S, ratio=jitter) + rows + "\n")
    return "\n".join([*parts, _READING.format(others=PEERS - 1), last])


def missed(
    measured: Mapping[str, Mapping[str, Any]], cells: Mapping[Setting, Utilization]
) -> list[str]:
    """Say which targets are missed, and which stubs have another size than what codecs make."""
    found = [
        f"{name}: stubs of {UPDATES[name].payload_bytes:,} bytes, the codec makes "
        f"{it['payload_bytes']:,}"
        for name, it in measured.items()
        if it["payload_bytes"] != UPDATES[name].payload_bytes
    ]
    for setting, cell in cells.items():
        is_judged = setting == replace(
            Setting(), graph=setting.graph, mode=setting.mode, seed=setting.seed
        )
        if is_judged and cell.worst < TARGET:
            found.append(
                f"{setting.update}, {setting.graph}, {setting.mode}, seed {setting.seed}: "
                f"{cell.worst:.1%}"
            )
    return found


def _costs(measured: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, it in measured.items():
        integrations = ", ".join(f"{s:.2f} ({count})" for count, s in it["integrate_s"].items())
        yield (
            f"| `{name}` | {it['payload_bytes'] / 1e6:.2f} | {it['publish_s']:.2f} | "
            f"{it['read_s']:.2f} | {integrations} |"
        )


def _groups(
    cells: Mapping[Setting, Utilization], step_s: float, jitter_ratio: float = 0.0
) -> dict[tuple[str, str, str], list[Utilization]]:
    """Return the runs of all seeds, by update, graph and schedule."""
    groups: dict[tuple[str, str, str], list[Utilization]] = {}
    for it, cell in cells.items():
        if (it.step_s, it.jitter_ratio) == (step_s, jitter_ratio):
            groups.setdefault((it.update, it.graph, it.mode), []).append(cell)
    return groups


def _main(cells: Mapping[Setting, Utilization]) -> Iterator[str]:
    for (update, graph, mode), runs in _groups(cells, RECORD_STEP_S).items():
        work, training = fmean(it.working for it in runs), fmean(it.mean for it in runs)
        waiting = max(0.0, 1.0 - work - training)  # rounded, it may be below 0
        ages = [it.age_s for it in runs if it.updates]
        yield (
            f"| `{update}` | {graph} | {mode} | {_spread([it.mean for it in runs])} | "
            f"{_spread([it.worst for it in runs])} | {work:.2%} | {waiting:.2%} | "
            f"{fmean(it.round_s for it in runs):,.1f} | "
            f"{fmean(it.sent_bytes for it in runs) / 1e6:,.1f} | "
            f"{fmean(it.updates for it in runs):.1f} | {fmean(ages) if ages else 0:,.1f} |"
        )


def _steps(cells: Mapping[Setting, Utilization]) -> Iterator[str]:
    by_step = [_groups(cells, step_s) for step_s in STEPS_S]
    for update, graph, mode in by_step[-1]:
        runs = [groups.get((update, graph, mode), []) for groups in by_step]
        shown = " | ".join(map(_worst, runs))
        yield f"| `{update}` | {graph} | {mode} | {shown} |"


def _worst(runs: Sequence[Utilization]) -> str:
    if not runs:
        return ""
    return f"{min(it.worst for it in runs):.1%} ({fmean(it.updates for it in runs):.1f})"


def _jitter(cells: Mapping[Setting, Utilization], jitter_ratio: float) -> Iterator[str]:
    for (_, _, mode), runs in _groups(cells, RECORD_STEP_S, jitter_ratio).items():
        yield (
            f"| {mode} | {_spread([it.mean for it in runs])} | "
            f"{_spread([it.worst for it in runs])} |"
        )


def _spread(shares: Sequence[float]) -> str:
    if len(shares) == 1:
        return f"{shares[0]:.2%}"
    return f"{fmean(shares):.2%} ({min(shares):.2%} to {max(shares):.2%})"
