"""What a node tells about its run: weights, rejections by reason, and news after each round."""

from types import SimpleNamespace

import pytest
import trio

from p2pfed.cli.node_display import privacy_words
from p2pfed.config.templates import template
from p2pfed.core.events import Verdict
from p2pfed.core.notices import (
    JobTrouble,
    LogsLeftOut,
    NeighborJoined,
    NeighborUnreachable,
    PartActive,
    PartIdle,
    ReputationLost,
    RoundFinished,
    StopReason,
    UpdateRejected,
)
from p2pfed.core.row_use import RowUse
from p2pfed.core.schedule import Phase
from p2pfed.core.standing import NeighborStanding
from p2pfed.errors import LocalError
from p2pfed.identity import Identity, format_peer_id
from p2pfed.learn.privacy.guard import PrivacySpent
from p2pfed.node.opening import load_identity
from p2pfed.node.running import run_node
from p2pfed.node.status import STATUS_FILE, Chronicle, read_status, write_status
from p2pfed.node.transport import Traffic
from tests.processes import free_ports

BOUND_S = 60.0


class StandingNode:
    """A node in which nothing happens."""

    def status(self):
        return SimpleNamespace(phase=Phase.TRAINING, round=3, sequence=4, neighbors=())

    def traffic(self):
        return Traffic(sent_bytes=5, received_bytes=6)

    def standings(self):
        return None

    def addresses(self):
        return ["/ip4/127.0.0.1/tcp/1"]

    def privacy_spent(self):
        return PrivacySpent(
            mechanism="per-step", epsilon=1.5, epsilon_max=4.0, delta=1e-5, releases=30
        )


def make_chronicle(**fields):
    return Chronicle(
        **{"peer_id": "me", "run_id": "aa", "run_name": "run", "rounds_max": None} | fields
    )


def round_finished(*verdicts, **fields):
    shown = {"round": 0, "loss": 0.5, "own_weight": 0.5, "evaluation": None, "note": ""}
    return RoundFinished(verdicts=verdicts, **shown | fields)


def test_weights_are_means_and_rejections_are_counted():
    one, two = Identity.create().peer, Identity.create().peer
    chronicle = make_chronicle()
    chronicle.take(
        round_finished(
            Verdict(peer=one, weight=0.4, reason=""),
            Verdict(peer=two, weight=0.0, reason="norm-cap"),
        )
    )
    chronicle.take(round_finished(Verdict(peer=one, weight=0.2, reason=""), round=1, loss=None))
    chronicle.take(UpdateRejected(peer=two, reason="stale"))
    chronicle.take(JobTrouble(reason="no memory"))
    status = chronicle.status(StandingNode())
    assert status.weights_by_peer == {
        format_peer_id(one): pytest.approx(0.3),
        format_peer_id(two): 0,
    }
    assert status.rejected == {"norm-cap": 1, "stale": 1}
    assert (status.loss, status.trouble) == (0.5, "no memory")
    assert (status.round, status.sequence, status.bytes_sent) == (3, 4, 5)


def test_what_was_told_of_private_rows_is_shown():
    status = make_chronicle().status(StandingNode())
    assert status.privacy == {
        "mechanism": "per-step",
        "epsilon": 1.5,
        "epsilon_left": 2.5,
        "epsilon_max": 4.0,
        "delta": 1e-5,
        "releases": 30,
        "protected": "one row",
    }
    words = "epsilon 1.500 spent, 2.500 left of 4 at delta 1e-05, per-step"
    assert privacy_words(status.privacy) == words
    assert privacy_words(None) == "off"


def test_logs_that_are_left_out_are_trouble():
    chronicle = make_chronicle()
    chronicle.take(LogsLeftOut(reason="too many authors"))
    assert chronicle.status(StandingNode()).trouble == "too many authors"


def test_lost_reputation_is_trouble():
    chronicle = make_chronicle()
    chronicle.take(ReputationLost(reason="damaged"))
    assert chronicle.status(StandingNode()).trouble == "damaged"


def test_what_neighbors_have_earned_is_in_the_status():
    peer = Identity.create().peer
    node = StandingNode()
    assert make_chronicle().status(node).reputation is None
    standing = NeighborStanding(peer=peer, status="worthless", reputation=0.0, mass_max=None)
    node.standings = lambda: (standing,)
    assert make_chronicle().status(node).reputation == {
        format_peer_id(peer): {"status": "worthless", "reputation": 0.0, "mass": None}
    }


def test_a_node_that_used_no_row_says_why():
    peer = Identity.create().peer
    chronicle = make_chronicle()
    assert chronicle.status(StandingNode()).warning is None
    kept = Verdict(peer=peer, weight=0.0, reason="not-integrated")
    for _ in range(2):
        chronicle.take(round_finished(kept, note="Krum needs 5 rows, got 3"))
    chronicle.take(round_finished())
    warning = chronicle.status(StandingNode()).warning
    assert "no row of a neighbor was used in 2 integrations" in warning
    assert "Krum needs 5 rows, got 3" in warning
    chronicle.take(round_finished(Verdict(peer=peer, weight=0.1, reason="")))
    assert chronicle.status(StandingNode()).warning is None


@pytest.mark.parametrize("is_joined", [True, False])
def test_a_node_to_which_no_row_came_says_so_unless_it_is_alone(is_joined):
    peer = Identity.create().peer
    chronicle = make_chronicle()
    chronicle.take(round_finished())
    assert chronicle.status(StandingNode()).warning is None
    unreachable = NeighborUnreachable(peer=peer, attempts=3, reason="refused")
    chronicle.take(NeighborJoined(peer=peer) if is_joined else unreachable)
    assert chronicle.status(StandingNode()).warning is None  # no round was finished since
    chronicle.take(round_finished())
    warning = chronicle.status(StandingNode()).warning
    assert warning == "no row of a neighbor ever came, so that nobody learned from others"
    chronicle.take(round_finished(Verdict(peer=peer, weight=0.1, reason="")))
    assert chronicle.status(StandingNode()).warning is None


def test_a_node_that_refused_all_updates_says_why():
    peer = Identity.create().peer
    chronicle = make_chronicle()
    for _ in range(2):
        chronicle.take(UpdateRejected(peer=peer, reason="payload of 9 bytes, at most 8 here"))
    warning = chronicle.status(StandingNode()).warning
    assert warning == (
        "no row of a neighbor was used; 2 updates refused before, so that nobody learned from "
        "others: payload of 9 bytes, at most 8 here"
    )


def test_a_node_whose_rows_had_reasons_of_their_own_says_them():
    chronicle = make_chronicle()
    capped = Verdict(peer=Identity.create().peer, weight=0.0, reason="norm-cap")
    chronicle.take(round_finished(capped))
    assert chronicle.status(StandingNode()).warning.endswith(": norm-cap")


def test_notes_that_are_kept_are_bounded():
    use = RowUse()
    verdicts = (Verdict(peer=b"p" * 32, weight=0.0, reason="not-integrated"),)
    for number in range(100):
        use.add(verdicts, f"note {number}", has_neighbors=True)
    assert "for other reasons" in use.warning()


def test_idle_parts_are_in_the_status_until_they_work():
    chronicle = make_chronicle()
    chronicle.take(PartIdle(part="reputation.loss_gate", reason="judges nobody"))
    assert chronicle.status(StandingNode()).idle == {"reputation.loss_gate": "judges nobody"}
    chronicle.take(PartActive(part="reputation.loss_gate"))
    assert chronicle.status(StandingNode()).idle == {}


def test_reasons_and_peers_are_bounded():
    peer = Identity.create().peer
    chronicle = make_chronicle()
    for number in range(1_000):
        chronicle.take(UpdateRejected(peer=peer, reason=f"text {number}"))
    for number in range(2_000):
        stranger = number.to_bytes(32, "big")
        chronicle.take(round_finished(Verdict(peer=stranger, weight=0.1, reason="")))
    status = chronicle.status(StandingNode())
    assert len(status.rejected) == 65
    assert status.rejected["other"] == 1_000 - 64
    assert len(status.weights_by_peer) == 1_024


def test_each_reason_names_the_peers_that_had_it_most():
    peers = [number.to_bytes(32, "big") for number in range(8)]
    chronicle = make_chronicle()
    for count, peer in enumerate(peers, start=1):
        for _ in range(count):
            chronicle.take(round_finished(Verdict(peer=peer, weight=0.0, reason="norm-cap")))
    chronicle.take(UpdateRejected(peer=peers[0], reason="stale"))
    found = chronicle.status(StandingNode()).rejected_peers
    assert found["stale"] == {"peers": {format_peer_id(peers[0]): 1}, "more": 0}
    assert list(found["norm-cap"]["peers"].values()) == [8, 7, 6, 5, 4]
    assert next(iter(found["norm-cap"]["peers"])) == format_peer_id(peers[7])
    assert found["norm-cap"]["more"] == 3


def test_peers_of_a_reason_are_bounded():
    chronicle = make_chronicle()
    for number in range(2_000):
        chronicle.take(UpdateRejected(peer=number.to_bytes(32, "big"), reason="stale"))
    status = chronicle.status(StandingNode())
    assert status.rejected == {"stale": 2_000}
    assert status.rejected_peers["stale"]["more"] == 256 - 5


@pytest.mark.parametrize(("run_id", "score"), [("aa", 0.9), ("bb", None)])
def test_earlier_scores_hold_for_the_same_run(run_id, score):
    earlier = {"peer_id": "me", "run_id": run_id, "score": 0.9, "test_score": 0.8, "history": []}
    status = make_chronicle(earlier=earlier).status(StandingNode())
    assert status.score == score


def test_status_file(tmp_path):
    assert read_status(tmp_path) is None
    status = make_chronicle().status(StandingNode())
    write_status(tmp_path, status)
    found = read_status(tmp_path)
    assert found["addresses"] == ["/ip4/127.0.0.1/tcp/1"]
    assert set(found) == set(status.to_json_object())
    assert [path.name for path in tmp_path.iterdir()] == [STATUS_FILE]
    for damaged in ("{", "[]"):
        (tmp_path / STATUS_FILE).write_text(damaged)
        with pytest.raises(LocalError, match=STATUS_FILE):
            read_status(tmp_path)
    with pytest.raises(LocalError, match="cannot write"):
        write_status(tmp_path / "nowhere", status)


@pytest.mark.net
@pytest.mark.slow
async def test_hostile_peer_is_seen_and_gets_no_weight(tmp_path):
    folders = [tmp_path / f"peer-{index}" for index in range(4)]
    identities = [load_identity(folder / "state") for folder in folders]
    places = [f"/ip4/127.0.0.1/tcp/{port}" for port in free_ports(4)]
    (folders[1] / "state" / STATUS_FILE).write_text("cut o")  # costs a warning, not the run
    outcomes, news = {}, []

    async def run(index):
        overrides = {
            "node.listen": [places[index]],
            "node.peers": [
                f"{places[other]}/p2p/{identities[other].text}"
                for other in range(4)
                if other != index
            ],
            "share.index": index,
            "share.count": 4,
            "schedule.mode": "synchronous",
            "schedule.rounds_max": 3,
            "schedule.linger_s": 1.0,
            "schedule.start_neighbors": 3,
        }
        outcomes[index] = await run_node(
            template("digits", overrides=overrides),
            folders[index],
            before_publish=(lambda difference: -10 * difference) if index == 0 else (lambda d: d),
            on_event=news.append,
        )

    with trio.fail_after(BOUND_S):
        async with trio.open_nursery() as nursery:
            for index in range(4):
                nursery.start_soon(run, index)
    hostile = identities[0].text
    for index in (1, 2, 3):
        found = outcomes[index].to_json_object()
        assert found["stop_reason"] == StopReason.ROUNDS
        assert found["weights_by_peer"][hostile] == 0.0
        # Of three rows the rule may take nothing of an honest one, too.
        assert found["rejected"]["norm-cap"] == 3
        assert read_status(folders[index] / "state")["rejected"] == found["rejected"]
    shown = [event for event in news if event.status.peer_id == identities[1].text]
    assert shown[0].notice is None
    assert shown[0].status.addresses
    rounds = [event for event in shown if isinstance(event.notice, RoundFinished)]
    assert [event.status.round for event in rounds] == [1, 2, 3]
    assert set(rounds[0].status.neighbors) == {identities[other].text for other in (0, 2, 3)}
