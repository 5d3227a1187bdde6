"""What a peer writes to disk, as canonical msgpack: its own progress, and what others did wrong.

These bytes come from this machine's disk. Damaged ones raise `LocalError`: silently starting
over would reuse sequence numbers.
"""

import math

from p2pfed.core.progress import Progress
from p2pfed.errors import LocalError, RemoteError, SchemaError
from p2pfed.limits import (
    FRAME_BYTES_MAX,
    GOSSIP_STEP_MAX,
    INLINE_PAYLOAD_BYTES_MAX,
    ROUND_MAX,
)
from p2pfed.messages import Evidence, SignedHeader
from p2pfed.values import Value
from p2pfed.wire import canonical, headers, schema

_RECORD_BYTES_MAX = 2 * FRAME_BYTES_MAX  # an inline payload, two headers and some numbers
_COUNT_MAX = 2**53 - 1  # exact in every language's number type


class ProgressRecord(Value):
    """Where this peer stands.

    Attributes:
        run_id: The run that it takes part in.
        incarnation: Its incarnation.
        own: Its newest update, None before the first.
        inline: The payload of `own` when it travels inline.
        job: The last job id given out.
        progress: How far training is.
    """

    run_id: bytes
    incarnation: int
    own: SignedHeader | None
    inline: bytes | None
    job: int
    progress: Progress


class AuthorRecord(Value):
    """What is held against an author.

    Attributes:
        offences: Offences since the last ban.
        offence_s: When the last of them happened, in seconds since the epoch.
        strikes: Bans so far.
        banned_until_s: End of the ban, 0.0 for none, infinity for good.
        evidence: Proof of equivocation.
    """

    offences: int
    offence_s: float
    strikes: int
    banned_until_s: float
    evidence: Evidence | None


def encode_progress(record: ProgressRecord) -> bytes:
    """Return the bytes of a progress record."""
    progress = record.progress
    return canonical.pack(
        [
            record.run_id,
            record.incarnation,
            _pack_signed(record.own),
            record.inline,
            record.job,
            progress.round,
            progress.published,
            progress.model_job,
            progress.elapsed_s,
            progress.best_score,
            progress.plateau_score,
            progress.evaluations_without_growth,
            progress.gossip_step,
        ]
    )


def decode_progress(data: bytes) -> ProgressRecord:
    """Read a progress record.

    Raises:
        LocalError: If the bytes are damaged.
    """
    try:
        return _read_progress(data)
    except RemoteError as error:
        raise _damage("own progress", error) from error


def encode_author(record: AuthorRecord) -> bytes:
    """Return the bytes of an author record; a ban for good is stored as None."""
    evidence = record.evidence
    return canonical.pack(
        [
            record.offences,
            record.offence_s,
            record.strikes,
            None if math.isinf(record.banned_until_s) else record.banned_until_s,
            None
            if evidence is None
            else [_pack_signed(evidence.first), _pack_signed(evidence.second)],
        ]
    )


def decode_author(data: bytes) -> AuthorRecord:
    """Read an author record.

    Raises:
        LocalError: If the bytes are damaged.
    """
    try:
        return _read_author(data)
    except RemoteError as error:
        raise _damage("what another peer did", error) from error


def _read_progress(data: bytes) -> ProgressRecord:
    (
        run_id,
        incarnation,
        own,
        inline,
        job,
        round_number,
        published,
        model_job,
        elapsed_s,
        best_score,
        plateau_score,
        evaluations,
        *later,
    ) = schema.array_up_to(
        canonical.unpack(data, bytes_max=_RECORD_BYTES_MAX), 13, name="record", count_min=12
    )
    gossip_step = later[0] if later else 1  # a record of a version without gossip steps
    return ProgressRecord(
        run_id=schema.digest(run_id, name="run_id"),
        incarnation=schema.incarnation(incarnation, name="incarnation"),
        own=None if own is None else headers.read_signed(own, name="own"),
        inline=None
        if inline is None
        else schema.bytes_up_to(inline, INLINE_PAYLOAD_BYTES_MAX, name="inline"),
        job=_count(job, "job"),
        progress=Progress(
            round=schema.integer(round_number, 0, ROUND_MAX, name="round"),
            gossip_step=schema.integer(gossip_step, 1, GOSSIP_STEP_MAX, name="gossip_step"),
            published=schema.boolean(published, name="published"),
            model_job=None if model_job is None else _count(model_job, "model_job"),
            elapsed_s=_number(elapsed_s, "elapsed_s"),
            best_score=None if best_score is None else _number(best_score, "best_score"),
            plateau_score=None if plateau_score is None else _number(plateau_score, "plateau"),
            evaluations_without_growth=_count(evaluations, "evaluations_without_growth"),
        ),
    )


def _read_author(data: bytes) -> AuthorRecord:
    value = canonical.unpack(data, bytes_max=_RECORD_BYTES_MAX)
    offences, offence_s, strikes, ban, proof = schema.array(value, count=5, name="record")
    evidence = None
    if proof is not None:
        first, second = schema.array(proof, count=2, name="evidence")
        evidence = Evidence(
            first=headers.read_signed(first, name="first"),
            second=headers.read_signed(second, name="second"),
        )
    return AuthorRecord(
        offences=_count(offences, "offences"),
        offence_s=_number(offence_s, "offence_s"),
        strikes=_count(strikes, "strikes"),
        banned_until_s=math.inf if ban is None else _number(ban, "banned_until_s"),
        evidence=evidence,
    )


def _pack_signed(signed: SignedHeader | None) -> list[object] | None:
    return None if signed is None else headers.signed_value(signed)


def _count(value: object, name: str) -> int:
    return schema.integer(value, 0, _COUNT_MAX, name=name)


def _number(value: object, name: str) -> float:
    # Finite already: canonical form has no NaN and no infinity.
    if type(value) is not float:
        raise SchemaError(f"{name} is no number")
    return value


def _damage(what: str, error: RemoteError) -> LocalError:
    return LocalError(
        f"the saved record of {what} is damaged ({error}); restore the state folder from a backup"
    )
