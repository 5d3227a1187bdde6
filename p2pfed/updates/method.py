"""What every update method is: a choice of the parameters that train and travel."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final, final

import torch
from blake3 import blake3
from torch import Tensor, nn

from p2pfed.errors import ConfigError
from p2pfed.updates.codec import Codec
from p2pfed.updates.construction import Constant
from p2pfed.updates.packing import are_packed, pack
from p2pfed.updates.portable import initial_value
from p2pfed.updates.specification import ParameterSpecification
from robust.rule import Rule

INITIALS: Final = ("portable", "given")

Gram = Callable[[Tensor], Tensor]
# Rows (n, d) that were mixed, their shares (n,), and the mixed vector (d,), to another (d,).
Correction = Callable[[Tensor, Tensor, Tensor], Tensor]
# A rule that reads ranks, to one that reads the vectors that stand for them.
Electing = Callable[[Rule], Rule]

_HASHED_VALUES: Final = 1 << 22  # copied at a time, so that a large model is not held twice


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdaptedModel:
    """A model that is ready to be trained, and which of its parameters travel.

    Attributes:
        model: To be called in place of the original, which may have been changed.
        trainable: Name in the specification to parameter, in the specification's order.
        specification: Of the trainable parameters.
        head_names: Those of the names that belong to a head trained from scratch, for which step
            rules may have another learning rate.
        method: What adapted it.
        frozen_digest: See `base_digest`.
        fixed: Frozen factors that the method added and every peer makes for itself, by name:
            float32, on the CPU, as they were made.
        packed: The memory of the trainable parameters, if they lie in one piece.
    """

    model: nn.Module
    trainable: Mapping[str, nn.Parameter]
    specification: ParameterSpecification
    head_names: frozenset[str]
    method: "Method"
    frozen_digest: bytes
    fixed: Mapping[str, Tensor] = field(default_factory=dict)
    packed: Tensor | None = None

    def vector(self) -> Tensor:
        """Copy the trainable parameters into a gossip vector, shape (d,)."""
        seen = self.view()
        return seen.clone() if seen is self.packed else seen

    def view(self) -> Tensor:
        """Return what `vector` does, to be read at once: later changes may show in it."""
        if self.packed is not None and are_packed(self.trainable, self.packed):
            return self.packed
        return self.specification.flatten(self.trainable)

    def load_vector(self, vector: Tensor) -> None:
        """Overwrite the trainable parameters.

        Raises:
            LocalError: If the vector is not one of this run.
        """
        if self.packed is not None and are_packed(self.trainable, self.packed):
            self.specification.check(vector)
            self.packed.copy_(vector.detach())
            return
        with torch.no_grad():
            for name, tensor in self.specification.unflatten(vector).items():
                self.trainable[name].copy_(tensor)

    def base_digest(self) -> bytes:
        """Return the BLAKE3-256 of all that is frozen: what peers share without sending it.

        It is that of the values before `placed` changed their precision, so that peers may differ
        in theirs.
        """
        return self.frozen_digest

    def placed(self, device: torch.device, dtype: torch.dtype) -> "AdaptedModel":
        """Move the model to a device and its frozen parameters to a precision.

        What trains stays float32: updates are small against the values, and would be rounded away.
        """
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        for parameter in self.model.parameters():
            if not parameter.requires_grad and parameter.is_floating_point():
                parameter.data = parameter.data.to(dtype)
        model = self.model.to(device)
        # Between some devices, torch makes new parameters instead of moving the old ones.
        moved = dict(model.named_parameters())
        trainable = {name: moved[names[id(old)]] for name, old in self.trainable.items()}
        return replace(self, model=model, trainable=trainable)

    def in_one_piece(self) -> "AdaptedModel":
        """Let what trains lie in one vector, as far as it can, to be read and written at once.

        For models that nobody else holds: `torch.save` of one parameter then stores all of them,
        safetensors' `save_model` refuses them, and `load_vector` is unseen by a graph that is
        still to be derived.
        """
        return replace(self, packed=pack(self.model, self.trainable))


class Method(ABC):
    """A way to fine-tune that decides what peers exchange.

    Methods are values: equal constants make equal methods.

    Attributes:
        name: Its name in headers and in the table; renaming one changes the protocol.
        is_ledger: Whether the model is a function of everybody's logs, as `LedgerMethod` says, and
            not a vector of each peer's own that neighbors mix.
        codec_name: The only codec that a run file may name beside it: one that it brings itself,
            without constants, or one of the table; empty for any of the table.
    """

    __slots__ = ()

    name: ClassVar[str]
    is_ledger: ClassVar[bool] = False
    codec_name: ClassVar[str] = ""

    @abstractmethod
    def adapt(self, model: nn.Module, *, seed: int) -> AdaptedModel:
        """Choose and initialize the parameters that train; freeze all others.

        Args:
            model: Changed in place.
            seed: The run's shared seed, in [0, 2^64): peers with the same seed, model and method
                start from the same bits.

        Raises:
            ConfigError: If the method's constants do not fit the model.
        """

    @abstractmethod
    def describe(self) -> dict[str, Constant]:
        """Return its constants by name, for the genesis."""

    @property
    def is_low_rank(self) -> bool:
        """Whether low-rank adapters of peft train, and whole modules beside them, if any."""
        return False

    def gram(
        self, specification: ParameterSpecification, initial: Tensor, *, fixed: Mapping[str, Tensor]
    ) -> Gram | None:
        """Return what measures updates, where their own inner products do not.

        Args:
            specification: Of the vectors.
            initial: What updates are differences from, shape (d,).
            fixed: As of `AdaptedModel`; a parameter whose factors are missing, in an application
                that adapted its model itself, counts with its own difference.

        Returns:
            A function of differences (n, d) to inner products (n, n), or None where the plain
            inner products of the differences measure what they do.
        """
        del specification, initial, fixed
        return None

    def correction(self, specification: ParameterSpecification) -> Correction | None:
        """Return what puts back what mixing loses, or None where it loses nothing worth it.

        Args:
            specification: Of the vectors.
        """
        del specification
        return None

    def codec(self, specification: ParameterSpecification, initial: Tensor) -> Codec | None:
        """Return the codec that it brings itself, or None where vectors have one of the table.

        Args:
            specification: Of the vectors.
            initial: What updates are differences from, shape (d,).

        Raises:
            ConfigError: If it cannot carry such vectors.
        """
        del specification, initial
        return None

    def electing(self, specification: ParameterSpecification, initial: Tensor) -> Electing | None:
        """Return how to vote on the vectors, as of `robust.Integrator`.

        Args:
            specification: Of the vectors.
            initial: What updates are differences from, shape (d,).

        Returns:
            A function of rules, which raises a `RuleError` at those that it cannot use, or None
            where vectors are mixed and not voted on.
        """
        del specification, initial
        return None


def digest_frozen(model: nn.Module) -> bytes:
    """Return the BLAKE3-256 of a model's frozen values, whatever their device.

    Covers name, type, shape and bytes of each saved tensor that does not train, in ascending order
    of names; not the running statistics of normalization layers that train, which are each peer's
    own.
    """
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    modules = dict(model.named_modules())
    statistics = {
        name
        for name, _ in local_statistics(model)
        if any(p.requires_grad for p in modules[name.rpartition(".")[0]].parameters())
    }
    return digest_tensors(
        {
            name: tensor
            for name, tensor in model.state_dict().items()
            if name not in trained and name not in statistics
        }
    )


def digest_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Return the BLAKE3-256 of names, types, shapes and bytes, in ascending order of names."""
    digest = blake3()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        for piece in tensor.detach().cpu().contiguous().view(-1).split(_HASHED_VALUES):
            digest.update(piece.view(torch.uint8).numpy().tobytes())
    return digest.digest()


def freeze_all(model: nn.Module) -> None:
    """Stop all parameters from training."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)


def unfreeze_modules(model: nn.Module, names: tuple[str, ...], *, field: str) -> frozenset[str]:
    """Let the parameters of some modules train.

    Returns:
        Their names.

    Raises:
        ConfigError: If a module does not exist or has no parameters.
    """
    modules = dict(model.named_modules())
    chosen: set[str] = set()
    for name in names:
        parameters = dict(modules[name].named_parameters()) if name in modules else {}
        if not parameters:
            known = ", ".join(
                each for each, child in model.named_children() if list(child.parameters())
            )
            raise ConfigError(field, name, f"write modules with parameters; the model has {known}")
        for inner, parameter in parameters.items():
            parameter.requires_grad_(True)
            chosen.add(f"{name}.{inner}")
    return frozenset(chosen)


def collect(
    model: nn.Module,
    names: Mapping[str, str],
    *,
    method: Method,
    head_names: frozenset[str],
    frozen_digest: bytes,
    fixed: Mapping[str, Tensor] | None = None,
) -> AdaptedModel:
    """Gather the parameters that require gradients.

    Args:
        model: Whose parameters.
        names: Name in the model to name in the specification; others keep theirs.
        method: What chose them.
        head_names: Names in the specification that belong to a head.
        frozen_digest: Of all others.
        fixed: As of `AdaptedModel`.

    Raises:
        ConfigError: If nothing trains, or something is not floating point.
    """
    chosen = {
        names.get(name, name): parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    if not chosen:
        raise ConfigError("method", type(model).__name__, "no parameter of this model would train")
    for parameter in chosen.values():
        parameter.data = parameter.data.float()
    return AdaptedModel(
        model=model,
        trainable={name: chosen[name] for name in sorted(chosen)},
        specification=ParameterSpecification.of(chosen),
        head_names=head_names,
        method=method,
        frozen_digest=frozen_digest,
        fixed=fixed or {},
    )


def initialize(adapted: AdaptedModel, names: frozenset[str], *, seed: int) -> None:
    """Overwrite parameters with the values that every machine computes alike."""
    with torch.no_grad():
        for entry in adapted.specification.entries:
            if entry.name in names:
                parameter = adapted.trainable[entry.name]
                parameter.copy_(initial_value(entry, parameter, seed))


def warn_of_buffers(model: nn.Module) -> None:
    """Say clearly that running statistics of normalization layers that train stay local.

    Frozen layers keep the statistics that they came with.
    """
    layers = [
        name
        for name, module in model.named_modules()
        if has_statistics(module) and any(p.requires_grad for p in module.parameters())
    ]
    if layers:
        warnings.warn(
            f"{len(layers)} normalization layers ({layers[0]}, ...) keep running statistics. "
            "They are measured on each peer's own data, stay local and are not averaged: a peer's "
            "model is its own. Use GroupNorm or LayerNorm where all peers shall hold one model.",
            UserWarning,
            stacklevel=3,
        )


def has_statistics(module: nn.Module) -> bool:
    """Whether a module is a normalization layer with running statistics, as BatchNorm is."""
    return getattr(module, "running_mean", None) is not None


def local_statistics(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Name the running statistics of normalization layers."""
    for prefix, module in model.named_modules():
        if has_statistics(module):
            for name, buffer in module.named_buffers(recurse=False):
                yield (f"{prefix}.{name}" if prefix else name), buffer
