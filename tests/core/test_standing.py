"""Reputation in the protocol: looked at first, counted later, and remembered over a restart."""

import json
from dataclasses import replace

import pytest

from p2pfed.core.config import ScheduleConfig, StandingConfig
from p2pfed.core.effects import AnswerPayload, Notify, StartIntegration
from p2pfed.core.events import (
    NO_MASS,
    FrameReceived,
    IntegrationFinished,
    PayloadWanted,
    UploadEnded,
    Verdict,
)
from p2pfed.core.notices import ReputationLost, RoundFinished
from p2pfed.identity import Identity
from p2pfed.limits import Limits
from p2pfed.messages import Announce, Deliver, RequestFull, RequestHeads
from p2pfed.wire.hashes import content_hash
from robust.reputation.loss_gate import LossGatePolicy
from robust.reputation.policy import ReputationPolicy
from tests.core.inspection import state_of
from tests.core.peers import (
    ANNA,
    BERT,
    CARL,
    DORA,
    make_config,
    make_core,
    make_hello,
    make_update,
    stranger,
)
from tests.core.solo import PROGRESS, Saved, Solo, Told, beat, messages_to, of_kind, plain

NEIGHBORS = (BERT, CARL, DORA)
SCHEDULE = ScheduleConfig(rounds_max=100, evaluate_every_rounds=0)
# Judged after two rounds, banned after two bad ones.
POLICY = ReputationPolicy(observations_min=2, ban_streak=2, ban_rounds_first=50)


STANDING = StandingConfig(policy=POLICY)
# Everybody is probed in every round, and judged from the second probe on.
GATE = LossGatePolicy(probe_count=3, scores_min=2, margin_errors=0.0, memory=0.1)


def make_peer(
    standing: StandingConfig | None = STANDING,
    records: dict[str, bytes] | None = None,
    addresses: dict[bytes, str] | None = None,
    neighbors: tuple[Identity, ...] = NEIGHBORS,
    limits: Limits | None = None,
) -> Solo:
    config = make_config(neighbors=neighbors, schedule=SCHEDULE, standing=standing, limits=limits)
    peer = Solo(make_core(config, records=records))
    peer.start()
    for neighbor in NEIGHBORS:
        peer.connect(neighbor, (addresses or {}).get(neighbor.peer, ""))
        peer.receive(neighbor, make_hello())
    return peer


def do_round(
    peer: Solo,
    number: int,
    agreements: dict[bytes, float],
    gains: dict[bytes, float] | None = None,
    senders: tuple[Identity, ...] = NEIGHBORS,
) -> list[object]:
    """Take a row of each sender, integrate, and say how far each agreed with the others."""
    for neighbor in senders:
        peer.take(neighbor, make_update(neighbor, number + 1, round_number=number))
    peer.train()
    started = peer.last(StartIntegration)
    verdicts = tuple(
        Verdict(
            peer=row.peer,
            weight=0.25,
            reason=NO_MASS if row.mass_max == 0.0 else "",
            agreement=agreements[row.peer],
            norm_ratio=1.0,
            gain=(gains or {}).get(row.peer) if row.is_probed else None,
        )
        for row in started.rows
    )
    return peer.do(IntegrationFinished(job=started.job, verdicts=verdicts, own_weight=0.25))


def reasons(effects: list[object]) -> dict[bytes, str]:
    """Return why each neighbor's row was not used, as the application is told."""
    (told,) = [it for it in of_kind(effects, Told) if isinstance(it.notice, RoundFinished)]
    return {verdict.peer: verdict.reason for verdict in told.notice.verdicts}


def caps(peer: Solo) -> dict[bytes, float | None]:
    return {row.peer: row.mass_max for row in peer.last(StartIntegration).rows}


def key_of(who: Identity, kind: str = "reputation") -> str:
    return f"{kind}/{who.peer.hex()}"


def record_of(peer: Solo, who: Identity, kind: str = "reputation") -> dict[str, float]:
    """Return what is on disk about a neighbor."""
    (values,) = json.loads(peer.disk[key_of(who, kind)])["peers"].values()
    return values


HONEST = {BERT.peer: 0.9, CARL.peer: 0.8, DORA.peer: 0.85}
LIAR = {**HONEST, DORA.peer: 0.0}
ALIKE = dict.fromkeys(HONEST, 0.9)


def test_without_a_policy_everybody_counts_alike() -> None:
    peer = make_peer(None)
    effects = do_round(peer, 0, HONEST)
    assert caps(peer) == dict.fromkeys(HONEST)
    assert of_kind(effects, Saved) == [Saved(PROGRESS, model_job=5)]


def test_a_stranger_is_looked_at_before_it_counts() -> None:
    peer = make_peer()
    effects = do_round(peer, 0, HONEST)
    assert caps(peer) == dict.fromkeys(HONEST, 0.0)
    # The same transaction as the model that depends on it.
    keys = (*PROGRESS, *(key_of(neighbor) for neighbor in NEIGHBORS))
    assert of_kind(effects, Saved) == [Saved(keys, model_job=5)]
    for number in range(1, 4):
        do_round(peer, number, HONEST)
    assert min(cap for cap in caps(peer).values() if cap is not None) > 0.1


def test_a_liar_is_banned_and_stays_so_after_a_restart() -> None:
    peer = make_peer()
    for number in range(8):
        do_round(peer, number, LIAR)
    assert caps(peer)[DORA.peer] == 0.0
    assert caps(peer)[BERT.peer] != 0.0
    reborn = make_peer(records=peer.disk)
    do_round(reborn, 8, HONEST)
    assert caps(reborn)[DORA.peer] == 0.0
    assert caps(reborn)[BERT.peer] != 0.0


DAMAGED = (b"\xff", b"[]", b'{"schema": 1}', b"[" * 100_000, b"9" * 5_000)


def complaints(peer: Solo) -> list[str]:
    """Return what the application was told of lost reputation."""
    notices = [it.notice for it in peer.effects if isinstance(it, Notify)]
    return [it.reason for it in notices if isinstance(it, ReputationLost)]


@pytest.mark.parametrize("damaged", DAMAGED)
def test_damaged_reputation_is_reported_and_the_run_goes_on(damaged: bytes) -> None:
    peer = make_peer()
    do_round(peer, 0, HONEST)
    assert complaints(peer) == []
    reborn = make_peer(records={**peer.disk, key_of(DORA): damaged})
    (reason,) = complaints(reborn)
    assert reason.startswith("1 saved record of neighbors is damaged (reputation), they start anew")
    assert reasons(do_round(reborn, 1, HONEST)) == {
        **dict.fromkeys(HONEST, ""),
        DORA.peer: "stranger",
    }
    assert record_of(reborn, DORA)["first_round"] == 1
    assert record_of(reborn, BERT)["first_round"] == 0


def test_a_damaged_record_does_not_stay_on_disk() -> None:
    peer = make_peer()
    do_round(peer, 0, HONEST)
    reborn = make_peer(records={**peer.disk, key_of(DORA): b"", "reputation/who": b""})
    reborn.disk.update(peer.disk)
    (reason,) = complaints(reborn)
    assert reason.startswith("2 saved records of neighbors are damaged")
    effects = do_round(reborn, 1, HONEST, senders=(BERT, CARL))
    assert key_of(DORA) not in reborn.disk
    assert "reputation/who" in of_kind(effects, Saved)[0].keys
    assert of_kind(do_round(reborn, 2, HONEST, senders=(BERT,)), Saved) == [
        Saved((*PROGRESS, key_of(BERT)), model_job=reborn.jobs[-2].job)
    ]


def test_a_record_under_the_name_of_another_is_damaged() -> None:
    peer = make_peer()
    do_round(peer, 0, HONEST)
    reborn = make_peer(records={**peer.disk, key_of(DORA): peer.disk[key_of(BERT)]})
    assert "is about others" in complaints(reborn)[0]


def test_reputation_of_another_run_counts_nothing() -> None:
    peer = make_peer()
    do_round(peer, 0, HONEST)
    snapshot = json.loads(peer.disk[key_of(DORA)])
    snapshot["genesis"] = "0" * 64
    reborn = make_peer(records={**peer.disk, key_of(DORA): json.dumps(snapshot).encode()})
    assert "genesis" in complaints(reborn)[0]
    assert reasons(do_round(reborn, 1, HONEST))[DORA.peer] == "stranger"


def test_the_disk_holds_what_the_ledger_remembers_and_nothing_else() -> None:
    policy = replace(POLICY, peers_max=2)
    peer = make_peer(StandingConfig(policy=policy))
    for number, senders in enumerate([NEIGHBORS, (DORA,), (BERT, CARL), (DORA, CARL), (BERT,)]):
        do_round(peer, number, LIAR, senders=senders)
        ledger = peer.core._parts.standing._ledger
        saved = {key: value for key, value in peer.disk.items() if key.startswith("reputation/")}
        remembered = [json.loads(value)["peers"] for value in saved.values()]
        assert {key: it for one in remembered for key, it in one.items()} == ledger.snapshot()[
            "peers"
        ]
        assert len(saved) <= 2


def test_who_does_not_fit_after_a_restart_is_removed_from_disk() -> None:
    peer = make_peer()
    do_round(peer, 0, HONEST)
    do_round(peer, 1, HONEST, senders=(BERT, CARL))
    small = StandingConfig(policy=replace(POLICY, peers_max=2))
    reborn = make_peer(small, records=peer.disk)
    reborn.disk.update(peer.disk)
    do_round(reborn, 2, HONEST, senders=(BERT,))
    assert key_of(DORA) not in reborn.disk
    assert {key_of(BERT), key_of(CARL)} <= set(reborn.disk)
    assert complaints(reborn) == []


def test_what_nobody_compared_is_no_observation() -> None:
    peer = make_peer()
    for number in range(8):
        for neighbor in NEIGHBORS:
            peer.take(neighbor, make_update(neighbor, number + 1, round_number=number))
        peer.train()
        peer.integrate()  # its verdicts have no agreement
    assert caps(peer) == dict.fromkeys(HONEST, 0.0)


def test_verdicts_say_why_a_neighbor_counts_nothing() -> None:
    peer = make_peer()
    assert reasons(do_round(peer, 0, LIAR)) == dict.fromkeys(HONEST, "stranger")
    assert reasons(do_round(peer, 1, LIAR)) == {**dict.fromkeys(HONEST, ""), DORA.peer: "unproven"}
    for number in range(2, 8):
        effects = do_round(peer, number, LIAR)
    assert reasons(effects) == {BERT.peer: "", CARL.peer: "", DORA.peer: "banned"}


def test_a_row_that_is_used_again_earns_nothing_more_and_counts_as_it_may() -> None:
    peer = make_peer()
    do_round(peer, 0, HONEST)
    for number in range(1, 4):
        do_round(peer, number, HONEST, senders=(BERT, CARL))
    row = peer.last(StartIntegration).rows[-1]
    assert (row.peer, row.staleness) == (DORA.peer, 3)
    assert record_of(peer, DORA)["observations"] == 1
    assert record_of(peer, BERT)["observations"] == 4
    # It agreed once, and newcomers count half at most.
    assert row.mass_max == pytest.approx(1.0 / 9.0, abs=0.03)


def test_a_row_that_is_used_again_is_probed_no_more() -> None:
    peer = make_peer(StandingConfig(policy=POLICY, loss_gate=GATE))
    do_round(peer, 0, HONEST, HARM)
    for number in range(1, 4):
        do_round(peer, number, HONEST, HARM, senders=(BERT, CARL))
    probed = {row.peer: row.is_probed for row in peer.last(StartIntegration).rows}
    assert probed == {BERT.peer: True, CARL.peer: True, DORA.peer: False}
    assert record_of(peer, DORA, "loss-gate")["scores"] == 1


# The loss gate --------------------------------------------------------------------------------

HARM = {BERT.peer: 0.1, CARL.peer: 0.05, DORA.peer: -0.5}


def test_who_harms_the_held_out_loss_is_turned_away_and_probed_on() -> None:
    peer = make_peer(StandingConfig(policy=POLICY, loss_gate=GATE))
    for number in range(4):
        effects = do_round(peer, number, HONEST, HARM)
    assert caps(peer)[DORA.peer] == 0.0
    assert reasons(effects)[DORA.peer] == "loss-gate"
    assert all(row.is_probed for row in peer.last(StartIntegration).rows)
    # Its agreement alone, which is as good as that of the others, would have kept it in.
    ungated = make_peer()
    for number in range(4):
        do_round(ungated, number, HONEST, HARM)
    assert caps(ungated)[DORA.peer] > 0.1
    assert not any(row.is_probed for row in ungated.last(StartIntegration).rows)


def test_whom_the_gate_turns_away_earns_nothing() -> None:
    gated = make_peer(StandingConfig(policy=POLICY, loss_gate=GATE))
    for number in range(12):
        do_round(gated, number, HONEST, HARM)
    # Forgiven by the gate at once, but what it did not earn is missing.
    for number in range(12, 16):
        do_round(gated, number, HONEST, dict.fromkeys(HONEST, 0.1))
    assert 0.0 < caps(gated)[DORA.peer] < 0.9 * caps(gated)[BERT.peer]


def test_few_neighbors_are_probed_in_a_round_and_all_in_turn() -> None:
    gate = LossGatePolicy(probe_count=1)
    peer = make_peer(StandingConfig(policy=POLICY, loss_gate=gate))
    probed = []
    for number in range(6):
        do_round(peer, number, HONEST, HARM)
        (row,) = [row for row in peer.last(StartIntegration).rows if row.is_probed]
        probed.append(row.peer)
    assert sorted(probed[:3]) == sorted(probed[3:]) == sorted(HONEST)


def test_the_gate_remembers_over_a_restart() -> None:
    standing = StandingConfig(policy=POLICY, loss_gate=GATE)
    peer = make_peer(standing)
    for number in range(4):
        do_round(peer, number, HONEST, HARM)
    assert key_of(DORA, "loss-gate") in peer.disk
    reborn = make_peer(standing, records=peer.disk)
    effects = do_round(reborn, 4, HONEST)
    assert reasons(effects)[DORA.peer] == "loss-gate"
    assert complaints(reborn) == []


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_loss_gate_is_reported_and_reputation_stays(damaged: bytes) -> None:
    standing = StandingConfig(policy=POLICY, loss_gate=GATE)
    peer = make_peer(standing)
    for number in range(4):
        do_round(peer, number, HONEST, HARM)
    reborn = make_peer(standing, records={**peer.disk, key_of(DORA, "loss-gate"): damaged})
    assert len(complaints(reborn)) == 1
    # The gate turns nobody away; that Dora has earned nothing lately is not forgotten.
    assert reasons(do_round(reborn, 4, HONEST)) == dict.fromkeys(HONEST, "")
    assert record_of(reborn, DORA)["observations"] == 5


# Groups ---------------------------------------------------------------------------------------

ADDRESSES = {
    BERT.peer: "/ip4/198.51.100.7/tcp/4001",
    CARL.peer: "/ip4/203.0.113.8/tcp/4001",
    DORA.peer: "/ip4/203.0.113.9/tcp/4001",
}


@pytest.mark.parametrize("groups_by_address", [False, True])
def test_neighbors_of_one_block_share_a_bound(groups_by_address: bool) -> None:
    standing = StandingConfig(policy=POLICY, groups_by_address=groups_by_address)
    peer = make_peer(standing, addresses=ADDRESSES)
    for number in range(6):
        do_round(peer, number, dict.fromkeys(HONEST, 0.9))
    shares = caps(peer)
    together = shares[CARL.peer] + shares[DORA.peer]
    assert shares[BERT.peer] == pytest.approx(0.25, abs=0.06)
    assert (together <= 0.3 + 1e-9) == groups_by_address


def test_an_address_that_is_none_puts_nobody_into_a_group() -> None:
    standing = StandingConfig(policy=POLICY, groups_by_address=True)
    odd = dict(zip(HONEST, ["", "/dns4/example.org/tcp/1", "/ip6/fe80::1%eth0/tcp/1"], strict=True))
    peer = make_peer(standing, addresses=odd)
    for number in range(6):
        do_round(peer, number, dict.fromkeys(HONEST, 0.9))
    assert len(set(caps(peer).values())) == 1


# Validity -------------------------------------------------------------------------------------


def offend(peer: Solo, who: Identity) -> None:
    peer.do(FrameReceived(peer=who.peer, frame=b"no frame"))


def earned(peer: Solo, who: Identity) -> float:
    return record_of(peer, who)["earned"]


def test_the_update_after_an_offence_earns_nothing_and_the_next_one_as_usual() -> None:
    peer = make_peer()
    offend(peer, DORA)
    do_round(peer, 0, ALIKE)
    assert (earned(peer, DORA), earned(peer, BERT)) == (0.0, pytest.approx(0.05 * 0.9))
    do_round(peer, 1, ALIKE)
    assert earned(peer, DORA) == pytest.approx(0.05 * 0.9)


def test_no_number_of_good_messages_makes_up_for_an_offence() -> None:
    peer = make_peer()
    offend(peer, DORA)
    for _ in range(50):
        peer.receive(DORA, beat())
    do_round(peer, 0, ALIKE)
    assert earned(peer, DORA) == 0.0


@pytest.mark.parametrize("neighbors", [NEIGHBORS, NEIGHBORS[:2]], ids=["configured", "stranger"])
def test_a_new_connection_does_not_make_up_for_an_offence(neighbors: tuple[Identity, ...]) -> None:
    peer = make_peer(neighbors=neighbors)
    offend(peer, DORA)
    peer.disconnect(DORA)
    peer.greet(DORA)
    do_round(peer, 0, ALIKE)
    assert (earned(peer, DORA), earned(peer, BERT)) == (0.0, pytest.approx(0.05 * 0.9))


def test_the_oldest_offence_is_forgotten_when_too_many_offend() -> None:
    peer = make_peer(limits=Limits(authors_max=100))
    offend(peer, DORA)
    offend(peer, CARL)
    for number in range(99):
        peer.greet(stranger(number))
        offend(peer, stranger(number))
        peer.disconnect(stranger(number))
    do_round(peer, 0, ALIKE)
    assert earned(peer, DORA) > 0.0
    assert earned(peer, CARL) == 0.0


# Quotas ---------------------------------------------------------------------------------------

QUOTAS = StandingConfig(policy=POLICY, has_quotas=True)
FREE_RIDER = {BERT.peer: 0.8, CARL.peer: 0.8, DORA.peer: 0.4}


def served(peer: Solo, rounds: range, agreements: dict[bytes, float]) -> dict[bytes, int]:
    """Count the own updates that are offered to each neighbor over some rounds."""
    counts = dict.fromkeys(HONEST, 0)
    for number in rounds:
        before = len(peer.effects)
        do_round(peer, number, agreements)
        for neighbor in NEIGHBORS:
            sent = messages_to([plain(effect) for effect in peer.effects[before:]], neighbor)
            own = [
                it
                for it in sent
                if isinstance(it, Deliver | Announce) and it.update.header.author == ANNA.peer
            ]
            counts[neighbor.peer] += len(own)
    return counts


def test_neighbors_are_served_as_often_as_they_have_earned() -> None:
    peer = make_peer(QUOTAS)
    fresh = served(peer, range(1), FREE_RIDER)
    assert fresh == dict.fromkeys(HONEST, 1)  # nobody has earned anything: nobody is behind
    served(peer, range(1, 10), FREE_RIDER)
    counts = served(peer, range(10, 30), FREE_RIDER)
    assert counts[BERT.peer] == counts[CARL.peer] == 20
    assert 9 <= counts[DORA.peer] <= 11
    unbound = served(make_peer(), range(30), FREE_RIDER)
    assert unbound == dict.fromkeys(HONEST, 30)


def test_what_a_neighbor_has_not_earned_it_cannot_ask_for() -> None:
    peer = make_peer(QUOTAS)
    served(peer, range(12), FREE_RIDER)
    answers = []
    for number in range(12, 14):  # of two in a row, one is above a quota of a half
        do_round(peer, number, FREE_RIDER)
        peer.now_s += 60.0
        asked = peer.receive(DORA, RequestFull(author=ANNA.peer))
        wanted = peer.do(
            PayloadWanted(peer=DORA.peer, token=number, content_hash=content_hash(b"own"), offset=0)
        )
        (answer,) = of_kind(wanted, AnswerPayload)
        answers.append((len(messages_to(asked, DORA)), answer.refusal))
    assert sorted(answers) == [(0, "above the quota of this peer"), (1, "")]


@pytest.mark.parametrize(("rounds", "answers"), [(6, 0), (60, 1)], ids=["in a ban", "after it"])
def test_a_peer_that_comes_back_knows_whose_bans_are_over(rounds: int, answers: int) -> None:
    standing = StandingConfig(policy=replace(POLICY, ban_rounds_first=10), has_quotas=True)
    peer = make_peer(standing)
    for number in range(4):
        do_round(peer, number, LIAR)
    for number in range(4, rounds):
        do_round(peer, number, ALIKE)
    reborn = make_peer(standing, records=peer.disk)
    assert len(messages_to(reborn.receive(BERT, RequestFull(author=ANNA.peer)), BERT)) == 1
    assert len(messages_to(reborn.receive(DORA, RequestFull(author=ANNA.peer)), DORA)) == answers


def test_a_quota_of_a_half_is_every_second_update_and_the_first_one_is_not_of_them() -> None:
    peer = make_peer(QUOTAS)
    do_round(peer, 0, FREE_RIDER)
    # From here on, Dora has earned half of what the others have.
    offered = [served(peer, range(n, n + 1), FREE_RIDER)[DORA.peer] for n in range(1, 9)]
    assert offered == [1, 0] * 4  # sequences 2 to 9


def may_pull(peer: Solo, who: Identity) -> bool:
    """Ask for the newest own update and for its payload."""
    peer.now_s += 60.0
    asked = peer.receive(who, RequestFull(author=ANNA.peer))
    wanted = PayloadWanted(peer=who.peer, token=1, content_hash=content_hash(b"own"), offset=0)
    (answer,) = of_kind(peer.do(wanted), AnswerPayload)
    peer.do(UploadEnded(peer=who.peer, token=1))
    assert len(messages_to(asked, who)) == (answer.offset is not None)
    return answer.offset is not None


def test_what_was_offered_is_served_and_what_was_not_is_not() -> None:
    peer = make_peer(QUOTAS)
    served(peer, range(11), FREE_RIDER)
    # Sequence 12 is due at a quota of 0.5, and not at 0.45, which it is after its round.
    assert served(peer, range(11, 12), {**FREE_RIDER, DORA.peer: 0.0})[DORA.peer] == 1
    assert may_pull(peer, DORA)
    # Sequence 13 is not due at 0.45, and would be at 0.48.
    assert served(peer, range(12, 13), {**FREE_RIDER, DORA.peer: 0.6})[DORA.peer] == 0
    assert not may_pull(peer, DORA)


def test_asking_twice_changes_nothing_the_second_time() -> None:
    peer = make_peer(QUOTAS)
    served(peer, range(12), FREE_RIDER)
    for message in (RequestFull(author=ANNA.peer), RequestHeads(after=None), beat()):
        peer.receive(DORA, message)
        once = state_of(peer.core)
        peer.receive(DORA, message)
        assert state_of(peer.core) == once


def test_who_comes_after_an_update_is_judged_when_it_asks() -> None:
    peer = make_peer(QUOTAS)
    served(peer, range(10), FREE_RIDER)
    peer.greet(stranger(1))
    assert may_pull(peer, stranger(1))  # of ten updates, newcomers get the tenth
    served(peer, range(10, 11), FREE_RIDER)
    peer.greet(stranger(2))
    assert not may_pull(peer, stranger(2))
