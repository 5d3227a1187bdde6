"""What a run file (`run.toml`) may say: every table and field, with unit and default.

The tables `run`, `method`, `codec` and `admission` are shared: they enter the genesis, and peers
that differ in them refuse each other. All others are this peer's own business.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from p2pfed.limits import NEIGHBORS_MAX
from p2pfed.messages import Role

Seconds = float


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _NamedTable(BaseModel):
    """A name from one of the plug-in tables; its other fields are the plug-in's constants."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)

    name: str

    @property
    def constants(self) -> dict[str, Any]:
        """The constants, as they stand in the file."""
        return dict(self.model_extra or {})


class RunTable(_Table):
    """`[run]`, shared."""

    name: str = Field(default="run", min_length=1, max_length=64, description="for people")
    seed: int = Field(default=0, ge=0, lt=2**53, description="of everything random that is shared")
    task: str = Field(default="digits", description="a task's name, or package.module:factory")


class MethodTable(_NamedTable):
    """`[method]`, shared: which parameters train and travel."""

    name: str = "full"


class CodecTable(_NamedTable):
    """`[codec]`, shared: how parameters become bytes."""

    name: str = "float32"


class AdmissionTable(_Table):
    """`[admission]`, shared: who may take part."""

    rule: Literal["open"] = Field(default="open", description="everybody with the genesis")


class ShareTable(_NamedTable):
    """`[share]`: which part of the task's training data is this peer's own.

    For tasks that come with all data; a task of your own usually loads just its own.
    """

    name: str = "iid"
    index: int = Field(default=0, ge=0, description="which share, from 0")
    count: int = Field(default=1, ge=1, description="how many shares there are")


class StepRuleTable(_NamedTable):
    """`[training.step_rule]`: the optimizer."""

    name: str = "adamw"


class TrainingTable(_Table):
    """`[training]`."""

    steps_per_round: int = Field(default=10, ge=1, description="local steps between exchanges")
    steps_per_round_min: int | None = Field(
        default=None, ge=1, description="draw the steps of each round from here to steps_per_round"
    )
    normal_steps: int = Field(
        default=0, ge=0, description="what a round learned counts as of so many; 0: as it is"
    )
    batch_size: int = Field(default=32, ge=1, description="examples per step")
    evaluation_batch_size: int = Field(default=64, ge=1, description="examples per forward pass")
    device: str = Field(default="auto", description="auto, cpu, cuda:N or mps")
    dtype: str = Field(default="float32", description="float32 or bfloat16, of what is frozen")
    threads: int = Field(default=0, ge=0, description="torch threads; 0 leaves torch's default")
    step_rule: StepRuleTable = StepRuleTable()


class PluginsTable(_Table):
    """`[plugins]`: programs of this machine that name rules and attacks; see docs/plugins.md."""

    files: list[str] = Field(
        default=[], description="Python files, relative to this one, that are run first"
    )


class PrioritizerTable(_Table):
    """`[integration.prioritizer]`: which rows reach the rule; see robust.DistancePrioritizer."""

    enabled: bool = Field(default=False, description="whether only some of many rows are used")
    model_count_max: int = Field(
        default=30, ge=1, description="rows used, if more came; one more or fewer"
    )
    exploration_ratio: float = Field(
        default=0.4, ge=0.0, le=1.0, description="0 takes near rows only, 1 far ones only"
    )
    draw: Literal["random", "nearest"] = Field(
        default="random", description="of near, middle and far rows: random ones, or the nearest"
    )


class IntegrationTable(_Table):
    """`[integration]`: whom to believe, and how much."""

    rule: str = Field(
        default="nnm+trimmed-mean", description="a name of robust.names(), nnm+ or the like before"
    )
    params: dict[str, bool | int | float | str] = Field(
        default={}, description="further parameters of the rule"
    )
    beta_max: float = Field(default=0.3, ge=0.0, lt=0.5, description="share of liars to survive")
    norm_cap_ratio: Annotated[float, Field(ge=1.0)] | Literal["off"] = Field(
        default=3.0, description="rows above so many median norms are rejected; or off"
    )
    gamma: float | None = Field(
        default=None, gt=0.0, le=1.0, description="step towards the result; 1, or what codecs allow"
    )
    weights: str = Field(default="metropolis", description="or lazy, max-degree, uniform, examples")
    degree_max: int | None = Field(
        default=None, ge=1, description="most neighbors of any peer, for weights = max-degree"
    )
    prioritizer: PrioritizerTable = PrioritizerTable()


class OuterTable(_NamedTable):
    """`[outer]`: the step towards what integration returns; see docs/outer.md."""

    name: str = Field(default="none", description="diloco, noloco, or none: go on from the mixture")


class LossGateTable(_Table):
    """`[reputation.loss_gate]`: who harms the own held-out loss; see robust.LossGatePolicy."""

    enabled: bool = Field(default=False, description="whether some rows are tried out each round")
    policy: dict[str, int | float] = Field(default={}, description="constants other than default")


class PrivacyTable(_Table):
    """`[privacy]`: differential privacy of this peer's training rows; see docs/privacy.md."""

    enabled: bool = Field(default=False, description="whether what leaves carries noise")
    mechanism: Literal["per-step", "per-release"] = Field(
        default="per-step", description="noise in every local step, or on what a round changed"
    )
    clip_norm: float = Field(
        default=1.0, gt=0.0, description="longest gradient of a row, or change of a round"
    )
    noise_multiplier: float = Field(
        default=1.0, gt=0.0, description="standard deviation of the noise, in clip_norm"
    )
    sample_rate: float | None = Field(
        default=None,
        gt=0.0,
        le=1.0,
        description="chance of a row per step; batch_size over the rows, if they may be counted",
    )
    epsilon_max: float = Field(default=8.0, gt=0.0, description="training ends before it is passed")
    delta: float = Field(
        default=1e-5, gt=0.0, lt=1.0, description="far below 1 over the number of rows"
    )
    validation_is_public: bool = Field(
        default=False, description="whether validation rows may decide what others see"
    )
    basis_is_public: bool = Field(
        default=False, description="whether the basis of fed-sb was made without private rows"
    )


class ReputationTable(_Table):
    """`[reputation]`: what neighbors earn over the rounds; see robust.ReputationPolicy."""

    enabled: bool = Field(default=False, description="whether reputation bounds what rows count")
    policy: dict[str, int | float] = Field(default={}, description="constants other than default")
    groups: Literal["none", "address"] = Field(
        default="none", description="address: neighbors of one /24 or /48 share one bound"
    )
    quotas: bool = Field(
        default=False, description="serve neighbors as often as they earned; asynchronous runs only"
    )
    loss_gate: LossGateTable = LossGateTable()


class ParticipationTable(_Table):
    """`[participation]`: how rows count that come seldom; see docs/schedules.md."""

    weights: Literal["alike", "fedau", "fedfix"] = Field(
        default="alike", description="fedau, fedfix: by how seldom a neighbor's row is there"
    )
    base: float = Field(
        default=0.5, gt=0.0, le=1.0, description="part of its weight that a row always there counts"
    )
    weight_max: float = Field(
        default=5.0, ge=1.0, le=1000.0, description="longest interval that counts, integrations"
    )
    interval_max: int = Field(
        default=20, ge=1, le=1_000_000, description="longest that is measured, integrations"
    )


class ScheduleTable(_Table):
    """`[schedule]`: see p2pfed.core.config.ScheduleConfig."""

    mode: Literal["asynchronous", "synchronous"] = "asynchronous"
    gossip_steps: int = Field(
        default=1, ge=1, le=64, description="publish and mix each training so often; synchronous"
    )
    integrate: Literal["after-training", "window", "arrivals"] = Field(
        default="after-training", description="or at the ends of windows, or per so many arrivals"
    )
    window_s: Seconds = Field(default=10.0, gt=0.0, description="length of a window")
    arrivals: int = Field(default=1, ge=1, description="neighbors with news to wait for")
    recipients: int | None = Field(
        default=None, ge=1, le=256, description="neighbors per own update, drawn anew; unset: all"
    )
    rounds_max: int = Field(default=100, ge=0, description="stop after so many; 0: no bound")
    time_s_max: Seconds | None = Field(default=None, gt=0.0, description="training time, seconds")
    plateau_evaluations: int | None = Field(
        default=None, ge=1, description="evaluations without growth of the validation score"
    )
    plateau_delta: float = Field(default=0.0, ge=0.0, description="growth that counts")
    deadline_s: Seconds = Field(default=30.0, gt=0.0, description="wait for rows per round")
    linger_s: Seconds = Field(default=60.0, ge=0.0, description="keep serving when done")
    start_neighbors: int = Field(default=0, ge=0, description="wait for so many before round 0")
    start_deadline_s: Seconds = Field(default=60.0, gt=0.0, description="but no longer than this")
    start_required: bool = Field(
        default=False, description="wait at every start, and end when they do not come"
    )
    evaluate_every_rounds: int = Field(
        default=1, ge=0, description="on validation data; 0: never, nor on test data"
    )
    test_every_rounds: int = Field(default=0, ge=0, description="on test data; 0: at the end")
    staleness_rounds_max: int = Field(default=10, ge=0, description="own rounds a row stays in use")


class NodeTable(_Table):
    """`[node]`: this machine."""

    role: Role = Field(default=Role.TRAIN, strict=False, description="train, or relay without data")
    state: str = Field(default="state", description="folder, relative to the run file")
    listen: list[str] = Field(
        default=["/ip4/0.0.0.0/tcp/0"], min_length=1, description="multiaddresses; tcp/0: any port"
    )
    announce: list[str] | None = Field(
        default=None, description="addresses told to others instead of those listened on"
    )
    peers: list[str] = Field(
        default=[], description="neighbors: multiaddresses ending in /p2p/<PeerID>"
    )
    neighbors_wanted: int = Field(
        default=0, ge=0, description="connect to peers learned from others up to so many"
    )


class MembershipTable(_Table):
    """`[membership]`: see p2pfed.core.config.MembershipConfig."""

    # From 0.01 on heartbeats are at most half of the frames that neighbors accept by `Limits`.
    heartbeat_s: Seconds = Field(default=2.0, ge=0.01, description="between heartbeats")
    suspicion_s: Seconds = Field(default=15.0, gt=0.0, description="silence of a lost neighbor")
    redial_s_min: Seconds = Field(default=0.5, gt=0.0, description="first pause before a redial")
    redial_s_max: Seconds = Field(default=30.0, gt=0.0, description="longest pause")
    ban_s: Seconds = Field(default=60.0, gt=0.0, description="first ban; doubles")
    ban_s_max: Seconds = Field(default=86_400.0, gt=0.0, description="longest ban")


class LimitsTable(_Table):
    """`[limits]`: see p2pfed.limits.Limits for the reasons."""

    neighbors_max: int = Field(
        default=64, ge=1, le=NEIGHBORS_MAX, description="connected neighbors"
    )
    payload_bytes_max: int = Field(default=1 << 30, ge=1, description="largest payload fetched")
    payload_store_bytes_max: int = Field(default=4 << 30, ge=1, description="payloads kept")


class RunConfig(_Table):
    """A whole run file."""

    run: RunTable = RunTable()
    method: MethodTable = MethodTable()
    codec: CodecTable = CodecTable()
    admission: AdmissionTable = AdmissionTable()
    task: dict[str, Any] = Field(default={}, description="options of the task's factory")
    plugins: PluginsTable = PluginsTable()
    share: ShareTable = ShareTable()
    training: TrainingTable = TrainingTable()
    privacy: PrivacyTable = PrivacyTable()
    integration: IntegrationTable = IntegrationTable()
    outer: OuterTable = OuterTable()
    reputation: ReputationTable = ReputationTable()
    participation: ParticipationTable = ParticipationTable()
    schedule: ScheduleTable = ScheduleTable()
    node: NodeTable = NodeTable()
    membership: MembershipTable = MembershipTable()
    limits: LimitsTable = LimitsTable()
