"""Memory of authors: bounded, and the bound cannot be used to lift a ban."""

from p2pfed.core.config import MembershipConfig
from p2pfed.core.equivocation import make_evidence
from p2pfed.core.ledger import Admission, Ledger
from p2pfed.identity import Identity
from p2pfed.limits import Limits
from p2pfed.messages import SignedHeader
from tests.core.peers import BERT, CARL, DORA, LIFE, make_update, stranger

LIMITS = Limits(
    authors_max=5, neighbors_max=4, headers_per_author_max=3, incarnations_per_author_max=2
)


def make_ledger(saved: dict[str, bytes] | None = None, *, limits: Limits = LIMITS) -> Ledger:
    return Ledger(limits, MembershipConfig(), saved or {})


def ban(ledger: Ledger, who: Identity, now_s: float = 10.0) -> float:
    return max(ledger.offend(who.peer, now_s) for _ in range(LIMITS.offences_max))


def admit(ledger: Ledger, signed: SignedHeader, *, may_be_reborn: bool = True) -> Admission:
    return ledger.admit(signed, may_be_reborn=may_be_reborn)


def test_headers_are_new_known_old_or_forked() -> None:
    ledger = make_ledger()
    assert admit(ledger, make_update(BERT, 2)) is Admission.NEW
    assert admit(ledger, make_update(BERT, 2)) is Admission.DUPLICATE
    assert admit(ledger, make_update(BERT, 1)) is Admission.STALE
    assert admit(ledger, make_update(BERT, 2, payload=b"x")) is Admission.EQUIVOCATION
    assert admit(ledger, make_update(BERT, 9)) is Admission.NEW


def test_a_new_life_counts_only_when_it_may() -> None:
    ledger = make_ledger()
    ledger.meet(BERT.peer, LIFE)
    reborn = make_update(BERT, 1, incarnation=LIFE + 1)
    assert admit(ledger, reborn, may_be_reborn=False) is Admission.STALE
    assert admit(ledger, reborn) is Admission.NEW
    assert admit(ledger, make_update(BERT, 7)) is Admission.STALE


def test_a_peer_that_goes_back_to_an_older_life_is_believed() -> None:
    ledger = make_ledger()
    admit(ledger, make_update(BERT, 7))
    admit(ledger, make_update(BERT, 1, incarnation=LIFE + 1))
    ledger.meet(BERT.peer, LIFE)
    newest = ledger.newest(BERT.peer)
    assert newest is not None
    assert newest.header.sequence == 7


def test_headers_per_author_are_bounded_and_the_newest_stay() -> None:
    ledger = make_ledger()
    for sequence in range(10, 20):
        admit(ledger, make_update(BERT, sequence))
    for sequence in range(1, 10):
        admit(ledger, make_update(BERT, sequence))
    known = [n for n in range(1, 20) if ledger.known(BERT.peer, LIFE, n) is not None]
    assert known == [17, 18, 19]


def test_of_a_peer_that_went_only_the_newest_header_is_kept() -> None:
    ledger = make_ledger()
    for sequence in (1, 2, 3):
        admit(ledger, make_update(BERT, sequence))
    ledger.part(BERT.peer)
    known = [n for n in (1, 2, 3) if ledger.known(BERT.peer, LIFE, n) is not None]
    assert known == [3]
    assert admit(ledger, make_update(BERT, 3)) is Admission.DUPLICATE


def test_of_a_proven_liar_only_the_proof_is_kept() -> None:
    ledger = make_ledger()
    admit(ledger, make_update(BERT, 3))
    ledger.freeze(make_evidence(make_update(BERT, 3), make_update(BERT, 3, payload=b"x")))
    assert ledger.newest(BERT.peer) is None
    assert ledger.known(BERT.peer, LIFE, 3) is None
    assert ledger.take_news(9) == []


def test_a_flood_of_names_forgets_acquaintances_before_bans_and_never_neighbors() -> None:
    ledger = make_ledger()
    ledger.meet(BERT.peer, LIFE)
    ban(ledger, CARL)
    ledger.freeze(make_evidence(make_update(DORA), make_update(DORA, payload=b"x")))
    for number in range(50):
        ledger.offend(stranger(number).peer, 10.0)
    assert ledger.is_banned(CARL.peer, 11.0)
    assert ledger.is_frozen(DORA.peer)
    assert ledger.incarnation(BERT.peer) == LIFE


def test_a_flood_of_banned_names_forgets_proofs_last() -> None:
    ledger = make_ledger()
    ledger.meet(BERT.peer, LIFE)
    ledger.freeze(make_evidence(make_update(DORA), make_update(DORA, payload=b"x")))
    for number in range(50):
        ban(ledger, stranger(number))
    assert ledger.is_frozen(DORA.peer)
    assert ledger.incarnation(BERT.peer) == LIFE
    assert ledger.is_banned(stranger(49).peer, 11.0)


def test_what_is_forgotten_is_removed_from_disk_too() -> None:
    ledger = make_ledger()
    disk: dict[str, bytes] = {}
    for number in range(50):
        ban(ledger, stranger(number))
        for record in ledger.take_records():
            if record.value is None:
                del disk[record.key]
            else:
                disk[record.key] = record.value
    assert len(disk) == LIMITS.authors_max
    assert make_ledger(disk).is_banned(stranger(49).peer, 11.0)


def test_bans_double_up_to_the_longest() -> None:
    ledger = make_ledger()
    lengths = [ban(ledger, BERT, now_s=1e6 * turn) for turn in range(1, 40)]
    assert lengths[:4] == [60.0, 120.0, 240.0, 480.0]
    assert lengths[-1] == 86_400.0
