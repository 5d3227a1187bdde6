"""How much the rows of neighbors count that come seldom."""

from dataclasses import replace
from typing import Any

import pytest

from p2pfed.core.config import IntervalAverage, ParticipationConfig, ScheduleConfig
from p2pfed.core.effects import StartIntegration
from p2pfed.core.participation import Interval, next_interval
from p2pfed.errors import LocalError
from p2pfed.identity import Identity
from p2pfed.wire import canonical
from tests.core.peers import BERT, CARL, make_config, make_core, make_update
from tests.core.solo import Solo

FEDAU = ParticipationConfig(average=IntervalAverage.FEDAU, base=0.5, weight_max=5.0, interval_max=8)
FEDFIX = replace(FEDAU, average=IntervalAverage.FEDFIX)
# A row is used once, so that who sends seldom takes part seldom.
ONCE = ScheduleConfig(staleness_rounds_max=0, evaluate_every_rounds=0)


def measured(config: ParticipationConfig, presence: str) -> Interval:
    """Return what is known after integrations with (x) and without (-) a neighbor."""
    interval = Interval()
    for mark in presence:
        interval = next_interval(interval, config, is_there=mark == "x")
    return interval


# Intervals -----------------------------------------------------------------------------------


def test_fedau_is_the_mean_of_all_intervals() -> None:
    assert measured(FEDAU, "--x") == Interval(average=3.0, measured=1, passed=0)
    assert measured(FEDAU, "--xx-x") == Interval(average=2.0, measured=3, passed=0)


def test_fedfix_forgets_a_tenth_with_each_interval() -> None:
    assert measured(FEDFIX, "--x").average == 3.0
    assert measured(FEDFIX, "--xx").average == pytest.approx(0.9 * 3.0 + 0.1)


@pytest.mark.parametrize("config", [FEDAU, FEDFIX], ids=["fedau", "fedfix"])
def test_an_absence_ends_after_the_longest_interval(config: ParticipationConfig) -> None:
    assert measured(config, 80 * "-") == Interval(average=8.0, measured=10, passed=0)


def test_what_has_passed_counts_only_when_it_is_over() -> None:
    assert measured(FEDAU, "x---") == Interval(average=1.0, measured=1, passed=3)


# Rows ----------------------------------------------------------------------------------------


def make_peer(
    config: ParticipationConfig | None = FEDAU,
    neighbors: tuple[Identity, ...] = (BERT, CARL),
    **others: Any,
) -> Solo:
    made = make_config(neighbors=neighbors, schedule=ONCE, participation=config)
    peer = Solo(make_core(made, **others))
    peer.start()
    for who in (BERT, CARL):
        peer.greet(who)
    return peer


def do_round(peer: Solo, number: int, *senders: Identity) -> dict[bytes, float]:
    """Let neighbors send something in a round; return how much their rows count."""
    for who in senders:
        payload = b"%d of %d" % (number, who.peer[0])
        peer.take(who, make_update(who, number + 1, payload=payload), payload)
    peer.train(b"own %d" % number)
    importances = {it.peer: it.importance for it in peer.last(StartIntegration).rows}
    peer.integrate()
    return importances


def play(peer: Solo, *rounds: tuple[Identity, ...], first: int = 0) -> dict[bytes, float]:
    """Play rounds; return how much rows count in the last."""
    return [do_round(peer, first + k, *senders) for k, senders in enumerate(rounds)][-1]


BOTH, ONLY_BERT = (BERT, CARL), (BERT,)


def test_rows_count_alike_unless_they_are_to_be_weighed() -> None:
    peer = make_peer(None)
    assert play(peer, BOTH, ONLY_BERT, BOTH, BOTH) == {BERT.peer: 1.0, CARL.peer: 1.0}
    assert not any(key.startswith("participation/") for key in peer.disk)


def test_who_comes_every_third_time_counts_three_times_as_much() -> None:
    peer = make_peer()
    third = (ONLY_BERT, ONLY_BERT, BOTH)
    assert play(peer, *third, *third) == {BERT.peer: 0.5, CARL.peer: 1.5}


def test_a_newcomer_counts_like_one_who_is_always_there() -> None:
    assert play(make_peer(), ONLY_BERT, ONLY_BERT, BOTH)[CARL.peer] == 0.5


def test_who_hides_for_long_counts_no_more_than_the_longest_interval() -> None:
    peer = make_peer()
    assert play(peer, *40 * (ONLY_BERT,), BOTH)[CARL.peer] == 2.5


def test_a_failed_integration_is_not_counted() -> None:
    peer = make_peer()
    play(peer, BOTH)
    before = dict(peer.disk)
    peer.train(b"again")
    peer.fail()
    keys = [key for key in before if key.startswith("participation/")]
    assert keys
    assert [peer.disk[key] for key in keys] == [before[key] for key in keys]


def test_intervals_outlive_a_restart() -> None:
    peer = make_peer()
    play(peer, ONLY_BERT, ONLY_BERT, BOTH)
    reborn = make_peer(entropy=b"next life", records=peer.disk)
    assert play(reborn, BOTH, first=3) == {BERT.peer: 0.5, CARL.peer: 1.5}


def test_strangers_that_leave_are_forgotten_on_disk_too() -> None:
    peer = make_peer(neighbors=(BERT,))
    assert play(peer, ONLY_BERT, ONLY_BERT, BOTH, BOTH)[CARL.peer] == 1.5
    assert f"participation/{CARL.peer.hex()}" in peer.disk
    peer.disconnect(CARL)
    play(peer, ONLY_BERT, first=4)
    assert [key for key in peer.disk if key.startswith("participation/")] == [
        f"participation/{BERT.peer.hex()}"
    ]
    peer.greet(CARL)
    assert play(peer, BOTH, first=5)[CARL.peer] == 0.5


@pytest.mark.parametrize("key", [BERT.peer.hex(), "no peer"])
@pytest.mark.parametrize(
    "damaged",
    [b"\xff", b"", b"\x93\x01\x01\x01", b"\x90", bytes(100), canonical.pack([0.5, 1, 1])],
    ids=["no-msgpack", "nothing", "integers", "no-numbers", "too-much", "below-1"],
)
def test_a_damaged_record_is_named(key: str, damaged: bytes) -> None:
    with pytest.raises(LocalError, match="participation/"):
        make_peer(records={f"participation/{key}": damaged})
