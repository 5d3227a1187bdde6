"""The method `fed-sb`: a small matrix trains between two frozen factors."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar, Final, final

import torch
from blake3 import blake3
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from p2pfed.errors import ConfigError
from p2pfed.updates.construction import (
    Constant,
    check_choice,
    check_integer,
    check_names,
    check_number,
    check_text,
)
from p2pfed.updates.method import (
    INITIALS,
    AdaptedModel,
    Gram,
    Method,
    collect,
    digest_frozen,
    freeze_all,
    initialize,
    unfreeze_modules,
    warn_of_buffers,
)
from p2pfed.updates.methods.basis import (
    Basis,
    check_rank,
    load_basis,
    pick_basis,
    portable_basis,
)
from p2pfed.updates.methods.fitting import check_fit
from p2pfed.updates.methods.wrapping import WrappedLinear, wrap_layers
from p2pfed.updates.specification import ParameterSpecification
from p2pfed.updates.weighted_gram import Metric, WeightedGeometry

_R: Final = ".fed_sb_R"
_A: Final = ".fed_sb_A"
_B: Final = ".fed_sb_B"

_HASH_DIGITS: Final = 64


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FedSb(Method):
    """A square matrix R trains and travels per linear layer, and some modules whole.

    The change of a weight is scale B R A, where B and A are frozen and the same at all peers. It is
    linear in R, so that any averaging of the R is that of the changes, exactly; what travels
    depends on the rank alone and not on the size of the layer. R starts at zero, and trains
    because B and A are not.

    Source: Singhal et al. 2025, "Fed-SB: a silver bullet for extreme communication efficiency and
    performance in (private) federated LoRA fine-tuning".
    Differs: B and A are drawn without data where no `basis` is given, as rows of a Hadamard
    matrix with random signs, so that no peer has to send them; and R starts at zero.

    Attributes:
        rank: Rows and columns of R.
        scale: Factor of the change; 1 moves weights about as fast as `lora` does by default.
        targets: Names, or last parts of names, of linear layers.
        modules: Modules that train and travel whole, such as a classification head; may be none.
        initial: `portable` or `given`, as of `Full`, for `modules`.
        basis: BLAKE3-256, in hexadecimal, of the file with B and A that `gradient_basis` made;
            empty to draw them.
        basis_file: Where that file is on this machine; no constant of the run.
        rank_used: Of this peer alone, and no constant of the run: it trains and computes with the
            leading rows and columns of R only, and hands the rest of R on as it mixes; 0 for all.
    """

    name: ClassVar[str] = "fed-sb"

    rank: int = 64
    scale: float = 1.0
    targets: tuple[str, ...] = ("query", "value")
    modules: tuple[str, ...] = ("head",)
    initial: str = "portable"
    basis: str = ""
    basis_file: str = ""
    rank_used: int = 0

    def __post_init__(self) -> None:
        check_integer(self.rank, "method.rank", least=1)
        check_number(self.scale, "method.scale", above=0.0)
        object.__setattr__(self, "scale", float(self.scale))
        check_names(self.targets, "method.targets")
        if self.modules:
            check_names(self.modules, "method.modules")
        check_choice(self.initial, "method.initial", INITIALS)
        _check_hash(self.basis)
        check_text(self.basis_file, "method.basis_file")
        if self.basis_file and not self.basis:
            fix = "write a path, and set method.basis to the hash of the file"
            raise ConfigError("method.basis_file", self.basis_file, fix)
        check_integer(self.rank_used, "method.rank_used", least=0)
        if self.rank_used > self.rank:
            fix = f"write at most method.rank, which is {self.rank}"
            raise ConfigError("method.rank_used", self.rank_used, fix)

    @override
    def adapt(self, model: nn.Module, *, seed: int) -> AdaptedModel:
        check_fit(model, self.name, targets=self.targets, modules=self.modules, rank=self.rank)
        freeze_all(model)
        heads = unfreeze_modules(model, self.modules, field="method.modules")
        warn_of_buffers(model)
        digest = digest_frozen(model)
        shared: dict[str, Tensor] | None = None
        if self.basis:
            shared = self._load_basis()
            digest = blake3(digest + bytes.fromhex(self.basis)).digest()

        def make(name: str, layer: nn.Linear) -> WrappedLinear:
            check_rank(self.rank, name, layer)
            basis = (
                _draw_basis(name, layer, self.rank, seed)
                if shared is None
                else pick_basis(shared, name, layer, self.rank)
            )
            return FedSbLinear(layer, basis, scale=self.scale, rank_used=self.rank_used)

        wrap_layers(model, self.targets, make)
        adapted = collect(
            model,
            {},
            method=self,
            head_names=heads,
            frozen_digest=digest,
            fixed=_fixed_factors(model),
        )
        if self.initial == "portable":
            initialize(adapted, heads, seed=seed)
        return adapted

    @override
    def describe(self) -> dict[str, Constant]:
        local = {"basis_file", "rank_used"}
        return {name: value for name, value in asdict(self).items() if name not in local}

    @override
    def gram(
        self, specification: ParameterSpecification, initial: Tensor, *, fixed: Mapping[str, Tensor]
    ) -> Gram | None:
        metrics = {}
        for name in specification.names:
            layer = name.removesuffix(_R)
            if layer != name and layer + _A in fixed and layer + _B in fixed:
                left, right = fixed[layer + _B].double(), fixed[layer + _A].double()
                metrics[name] = Metric(left=self.scale**2 * left.T @ left, right=right @ right.T)
        return WeightedGeometry(specification, metrics)

    def _load_basis(self) -> dict[str, Tensor]:
        if not self.basis_file:
            fix = "write the path of the run's basis; a peer of the run has the file"
            raise ConfigError("method.basis_file", self.basis_file, fix)
        return load_basis(Path(self.basis_file), self.basis)


@final
class FedSbLinear(WrappedLinear):
    """A linear layer plus scale B R A.

    Args:
        base: The layer, frozen.
        basis: B and A.
        scale: Factor of the change.
        rank_used: How many of the leading rows and columns of R this model computes with; 0 for
            all.
    """

    def __init__(self, base: nn.Linear, basis: Basis, *, scale: float, rank_used: int) -> None:
        super().__init__(base)
        rank = len(basis.right)
        device = base.weight.device
        self.fed_sb_R = nn.Parameter(torch.zeros(rank, rank, device=device))
        # Buffers keep float32 where frozen parameters are turned into bfloat16.
        self.register_buffer("fed_sb_A", basis.right.to(device))
        self.register_buffer("fed_sb_B", basis.left.to(device))
        self.fed_sb_A: Tensor
        self.fed_sb_B: Tensor
        self.scale = scale
        self.rank_used = rank_used or rank

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Compute the layer and what was added to it."""
        outputs: Tensor = self.base(inputs)
        used = self.rank_used
        inner = functional.linear(inputs.to(self.fed_sb_R.dtype), self.fed_sb_A[:used])
        inner = functional.linear(inner, self.fed_sb_R[:used, :used])
        added = functional.linear(inner, self.fed_sb_B[:, :used]) * self.scale
        return outputs + added.to(outputs.dtype)

    def fold(self, basis: Basis) -> None:
        """Add the change of all of R to the weight, and start from zero in another basis."""
        with torch.no_grad():
            change = self.scale * self.fed_sb_B @ self.fed_sb_R @ self.fed_sb_A
            self.base.weight.copy_(self.base.weight.float() + change)
            self.fed_sb_R.zero_()
            self.fed_sb_A.copy_(basis.right)
            self.fed_sb_B.copy_(basis.left)


def rebase(adapted: AdaptedModel, *, seed: int) -> AdaptedModel:
    """Make what was learned part of the base, and go on in new directions.

    All peers must do it at the same vector, load it before, and pass the same seed: a base that is
    not common cannot be averaged around. The sums are not portable, so that bases agree up to
    rounding from then on; the new digest names what they stand for.

    Args:
        adapted: By `FedSb`; its model is changed in place.
        seed: Of the new bases, in [0, 2^64), other than all before.

    Returns:
        The same model with R = 0 and drawn bases.
    """
    vector = adapted.vector()
    method = adapted.method
    assert isinstance(method, FedSb)
    for name, module in adapted.model.named_modules():
        if isinstance(module, FedSbLinear):
            module.fold(_draw_basis(name, module.base, method.rank, seed))
    digest = blake3(
        adapted.frozen_digest + adapted.specification.digest(vector) + seed.to_bytes(8, "little")
    )
    return replace(adapted, frozen_digest=digest.digest(), fixed=_fixed_factors(adapted.model))


def _draw_basis(name: str, layer: nn.Linear, rank: int, seed: int) -> Basis:
    return portable_basis(seed, name, rows=layer.out_features, columns=layer.in_features, rank=rank)


def _fixed_factors(model: nn.Module) -> dict[str, Tensor]:
    fixed: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, FedSbLinear):
            fixed[name + _A] = module.fed_sb_A.cpu().clone()
            fixed[name + _B] = module.fed_sb_B.cpu().clone()
    return fixed


def _check_hash(basis: object) -> None:
    is_hash = isinstance(basis, str) and len(basis) in (0, _HASH_DIGITS)
    if not is_hash or set(str(basis)) - set("0123456789abcdef"):
        fix = "write the BLAKE3 of the file, 64 lower-case hexadecimal digits, or leave it empty"
        raise ConfigError("method.basis", basis, fix)
