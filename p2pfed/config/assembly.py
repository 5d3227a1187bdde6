"""From a run file to a peer: its genesis, what its protocol is told, and who does its learning."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TypeVar, final

from p2pfed import __version__
from p2pfed.config.complaints import make_policy
from p2pfed.config.model import RunConfig
from p2pfed.core.config import (
    CoreConfig,
    IntegrationMoment,
    IntervalAverage,
    MembershipConfig,
    NeighborAddress,
    ParticipationConfig,
    ScheduleConfig,
    ScheduleMode,
    StandingConfig,
    UpdateFamily,
)
from p2pfed.errors import ConfigError, LocalError
from p2pfed.identity import PeerId, parse_peer_id
from p2pfed.limits import Limits
from p2pfed.updates.registry import CODECS, METHODS
from p2pfed.wire import genesis as genesis_format
from p2pfed.wire.genesis import Component, Constant, Genesis, Initial, ParameterEntry
from p2pfed.wire.payload import payload_bytes_max
from robust.reputation.loss_gate import LossGatePolicy
from robust.reputation.policy import ReputationPolicy

PolicyT = TypeVar("PolicyT")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The genesis in the forms in which it is needed.

    Attributes:
        genesis: The document.
        encoded: Its bytes.
        run_id: Their hash.
    """

    genesis: Genesis
    encoded: bytes
    run_id: bytes

    @classmethod
    def of(cls, genesis: Genesis) -> "Agreement":
        """Encode a genesis."""
        encoded = genesis_format.encode(genesis)
        return cls(genesis=genesis, encoded=encoded, run_id=genesis_format.run_id(encoded))


def core_config(
    config: RunConfig, agreement: Agreement, *, announce: Sequence[str] = ()
) -> CoreConfig:
    """Tell the protocol what the run file says.

    Args:
        config: The run file.
        agreement: The run's genesis.
        announce: Addresses under which others may dial this peer, with or without the PeerID.

    Raises:
        ConfigError: If a neighbor's address does not end in a PeerID.
    """
    genesis = agreement.genesis
    prioritizer = config.integration.prioritizer
    return CoreConfig(
        run_id=agreement.run_id,
        genesis_bytes=len(agreement.encoded),
        genesis_fields=genesis_format.field_digests(genesis),
        method=genesis.method.name,
        codec=genesis.codec.name,
        payload_bytes_max=payload_bytes_max(genesis.section_bytes_max),
        family=update_family(genesis.method.name, genesis.codec.name),
        role=config.node.role,
        software=f"p2pfed {__version__}",
        schedule=schedule_config(config),
        membership=MembershipConfig(
            neighbors=neighbors(config.node.peers),
            neighbors_wanted=config.node.neighbors_wanted,
            announce=tuple(address.split("/p2p/")[0] for address in announce),
            **config.membership.model_dump(),
        ),
        limits=Limits(**config.limits.model_dump()),
        standing=standing_config(config),
        participation=participation_config(config),
        prioritizer_rows_max=prioritizer.model_count_max if prioritizer.enabled else None,
    )


def schedule_config(config: RunConfig) -> ScheduleConfig:
    """Return the rounds that the run file describes.

    Raises:
        ConfigError: If a synchronous peer is to integrate at another time.
    """
    fields = config.schedule.model_dump()
    fields["mode"] = ScheduleMode(fields["mode"])
    fields["integrate"] = IntegrationMoment(fields["integrate"])
    fields["rounds_max"] = fields["rounds_max"] or None
    schedule = ScheduleConfig(**fields)
    is_synchronous = schedule.mode is ScheduleMode.SYNCHRONOUS
    if is_synchronous and schedule.integrate is not IntegrationMoment.AFTER_TRAINING:
        fix = "a synchronous round ends with its rows; leave it out, or write mode = asynchronous"
        raise ConfigError("schedule.integrate", config.schedule.integrate, fix)
    return schedule


def update_family(method_name: str, codec_name: str) -> UpdateFamily:
    """Return what an update of a method over a codec is to those before it; both are known."""
    method = METHODS[method_name]
    if method.is_ledger:
        return UpdateFamily.LEDGER
    if method.codec_name:
        return UpdateFamily.WHOLE
    is_for_differences = CODECS[codec_name].is_for_differences
    return UpdateFamily.DIFFERENCE if is_for_differences else UpdateFamily.WHOLE


def participation_config(config: RunConfig) -> ParticipationConfig | None:
    """Return how rows count that come seldom, None where the run file lets all count alike."""
    table = config.participation
    if table.weights == "alike":
        return None
    return ParticipationConfig(
        average=IntervalAverage(table.weights),
        base=table.base,
        weight_max=table.weight_max,
        interval_max=table.interval_max,
    )


def standing_config(config: RunConfig) -> StandingConfig | None:
    """Return how neighbors earn their share, None where the run file leaves reputation off.

    Raises:
        ConfigError: If a constant is unknown or out of range, switched on or not, or if quotas
            would keep synchronous neighbors waiting.
    """
    table = config.reputation
    policy = _policy(ReputationPolicy, table.policy, "reputation.policy")
    loss_gate = _policy(LossGatePolicy, table.loss_gate.policy, "reputation.loss_gate.policy")
    if table.quotas and config.schedule.mode == "synchronous":
        fix = "a synchronous neighbor would wait for what it does not get; use asynchronous"
        raise ConfigError("reputation.quotas", True, fix)
    if not table.enabled:
        return None
    return StandingConfig(
        policy=policy,
        loss_gate=loss_gate if table.loss_gate.enabled else None,
        groups_by_address=table.groups == "address",
        has_quotas=table.quotas,
    )


def _policy(
    policy: Callable[..., PolicyT], constants: Mapping[str, int | float], field: str
) -> PolicyT:
    known = sorted(signature(policy).parameters)
    for name in sorted(constants.keys() - set(known)):
        fix = f"remove it; there is no such constant, but {', '.join(known)}"
        raise ConfigError(f"{field}.{name}", constants[name], fix)
    return make_policy(policy, constants, field)


def neighbors(addresses: Sequence[str]) -> tuple[NeighborAddress, ...]:
    """Group dialable addresses by the peer that they end in.

    Raises:
        ConfigError: If an address does not end in `/p2p/<PeerID>`.
    """
    by_peer: dict[PeerId, list[str]] = {}
    for address in addresses:
        place, _, name = address.rpartition("/p2p/")
        fix = "write a multiaddress such as /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…"
        if not place.startswith("/"):
            raise ConfigError("node.peers", address, fix)
        try:
            peer = parse_peer_id(name)
        except LocalError as error:
            raise ConfigError("node.peers", address, fix) from error
        by_peer.setdefault(peer, []).append(address)
    return tuple(
        NeighborAddress(peer=peer, addresses=tuple(by_peer[peer])) for peer in sorted(by_peer)
    )


def make_genesis(
    config: RunConfig,
    *,
    base_digest: bytes,
    parameters: Sequence[ParameterEntry],
    initial: Initial,
    method: Component,
    codec: Component,
    main_bytes_max: int,
) -> Agreement:
    """Put together what all peers of the run file's run agree on."""
    return Agreement.of(
        Genesis(
            name=config.run.name,
            seed=config.run.seed,
            task=config.run.task,
            base_model=base_digest,
            parameters=tuple(parameters),
            initial=initial,
            method=method,
            codec=codec,
            section_bytes_max={"main": main_bytes_max},
        )
    )


def component(name: str, constants: Mapping[str, object]) -> Component:
    """Return a plug-in as the genesis names it, every constant written out.

    Raises:
        ConfigError: If a constant is of a type that a genesis cannot hold.
    """
    held: dict[str, Constant] = {}
    for key, value in constants.items():
        words = isinstance(value, tuple) and all(isinstance(word, str) for word in value)
        if not words and not isinstance(value, int | float | str | bool):
            raise ConfigError(f"{name}.{key}", value, "use a number, a text or a list of texts")
        held[key] = value  # type: ignore[assignment]  # checked above
    return Component(name=name, constants=held)
