"""A peer that was killed after its last round encodes its log anew, as nobody else may have it."""

from dataclasses import replace

import pytest

from p2pfed.core.config import ScheduleConfig, UpdateFamily
from p2pfed.core.effects import OwnPlace, StartIntegration, StartTraining
from p2pfed.core.events import Command, CommandGiven, IntegrationFinished, TrainingFinished
from p2pfed.core.schedule import Phase
from p2pfed.core.timers import TimerKind
from p2pfed.messages import Announce, Heartbeat, RequestRange, UpdateKind
from tests.core.peers import BERT, CARL, make_config, make_core, make_payload
from tests.core.solo import Saved, Sent, Set, Solo, messages_to, of_kind

CONFIG = replace(
    make_config(
        neighbors=(BERT, CARL),
        schedule=ScheduleConfig(rounds_max=3, evaluate_every_rounds=0, linger_s=60.0),
    ),
    family=UpdateFamily.LEDGER,
)


def train(peer: Solo, payload: bytes, *, is_full: bool) -> list[object]:
    job = peer.last(StartTraining).job
    reference = make_payload(payload)
    return peer.do(
        TrainingFinished(job=job, payload=reference, loss=None, examples=0, is_full=is_full)
    )


def killed_after(rounds: int) -> dict[str, bytes]:
    """Return what a peer saved that was killed after so many rounds."""
    peer = Solo(make_core(CONFIG))
    peer.start()
    for number in range(rounds):
        train(peer, b"%d" % number, is_full=False)
        peer.integrate()
    return peer.disk


def back() -> Solo:
    """Return the same peer in its next life: it has trained, and nothing is left to do."""
    peer = Solo(make_core(CONFIG, entropy=b"next life", records=killed_after(3)))
    peer.greet(BERT)
    return peer


def encodings(peer: Solo) -> list[StartTraining]:
    return [job for job in peer.jobs if isinstance(job, StartTraining)]


def test_who_is_done_encodes_its_log_without_training() -> None:
    peer = back()
    peer.start()
    (job,) = encodings(peer)
    assert not job.train
    assert job.own is not None
    assert (job.own.sequence, job.own.needs_full) == (3, True)
    assert peer.core.status().phase is Phase.SETTLING


def test_the_snapshot_is_saved_and_then_announced_to_all() -> None:
    peer = back()
    peer.start()
    peer.greet(CARL)
    effects = train(peer, b"all", is_full=True)
    saved, *sent = of_kind(effects, Saved, Sent)
    assert saved == Saved(("self/progress",), model_job=peer.last(StartTraining).job)
    (offer,) = messages_to(sent, CARL)
    assert isinstance(offer, Announce)
    header = offer.update.header
    assert (header.kind, header.sequence, header.round) == (UpdateKind.SNAPSHOT, 4, 3)
    status = peer.core.status()
    assert (status.phase, status.round) == (Phase.DONE, 3)


def test_it_is_encoded_once_whoever_asks_for_what() -> None:
    peer = back()
    peer.start()
    train(peer, b"all", is_full=True)
    life = peer.core._parts.own.incarnation
    for number in range(1, 4):
        asked = RequestRange(author=peer.core.peer, incarnation=life, first=number, last=4)
        (offer,) = messages_to(peer.receive(BERT, asked), BERT)
        assert offer.update.header.sequence == 4
    assert len(encodings(peer)) == 1
    again = Solo(make_core(CONFIG, entropy=b"third life", records=killed_after(3) | peer.disk))
    again.start()
    assert encodings(again) == []


def test_a_log_whose_last_entry_was_not_announced_is_encoded_after_its_round() -> None:
    before = Solo(make_core(CONFIG, records=killed_after(2)))
    before.start()
    train(before, b"all", is_full=True)
    before.integrate()
    assert before.core.status().phase is Phase.DONE  # its last round said all
    assert len(encodings(before)) == 1


def test_an_encoding_that_fails_is_tried_a_few_times() -> None:
    peer = back()
    peer.start()
    for _ in range(5):
        if peer.core.status().phase is Phase.SETTLING:
            peer.fail()
    assert len(encodings(peer)) == CONFIG.schedule.job_attempts_max
    assert peer.core.status().phase is Phase.DONE


def test_it_lingers_anew_so_that_others_can_fetch_it() -> None:
    peer = back()
    assert Set(TimerKind.LINGER, 60.0) in peer.start()


def test_neighbors_learn_at_once_that_nobody_trains_here() -> None:
    peer = back()
    beats = [it for it in messages_to(peer.start(), BERT) if isinstance(it, Heartbeat)]
    assert [beat.active for beat in beats] == [False]


@pytest.mark.parametrize("family", [UpdateFamily.WHOLE, UpdateFamily.DIFFERENCE])
def test_where_nobody_keeps_logs_nothing_is_encoded(family: UpdateFamily) -> None:
    config = replace(CONFIG, family=family)
    before = Solo(make_core(config))
    before.start()
    for number in range(3):
        train(before, b"%d" % number, is_full=family is UpdateFamily.WHOLE)
        before.do(IntegrationFinished(job=before.jobs[-1].job, verdicts=(), own_weight=1.0))
    peer = Solo(make_core(config, entropy=b"next life", records=before.disk))
    peer.start()
    assert encodings(peer) == []


def test_an_entry_that_a_stop_kept_from_the_model_is_taken_in_after_it() -> None:
    peer = Solo(make_core(CONFIG))
    peer.start()
    peer.greet(BERT)
    train(peer, b"own", is_full=False)
    given_up = peer.last(StartIntegration)
    assert given_up.own is not None
    peer.do(CommandGiven(command=Command.STOP))
    job = peer.last(StartIntegration)
    assert job.job > given_up.job
    assert job.own == OwnPlace(incarnation=given_up.own.incarnation, sequence=1, needs_full=False)
    assert of_kind(peer.integrate(), StartIntegration) == []  # once
    assert peer.core.status().phase is Phase.DONE
