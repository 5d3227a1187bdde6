"""The method `peft`: any adapter type that the installed peft offers."""

import dataclasses
import json
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, final

from blake3 import blake3
from torch import Tensor, nn
from typing_extensions import override

from p2pfed.errors import ConfigError
from p2pfed.updates.construction import Constant, check_choice, check_names, check_text
from p2pfed.updates.method import (
    INITIALS,
    AdaptedModel,
    Method,
    collect,
    digest_frozen,
    digest_tensors,
    freeze_all,
    initialize,
    unfreeze_modules,
    warn_of_buffers,
)
from p2pfed.updates.methods.peft_wrapping import plain_name
from p2pfed.updates.portable_draws import PortableDraws

# What adapters of peft raise on options and models that they cannot use.
_REFUSALS: Final = (
    AttributeError,
    ImportError,
    IndexError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
# Why a type cannot take part.
_UNUSABLE: Final = {
    "XLORA": "mixes adapters that were trained before, from files of its own",
}
# Fields of configurations that other constants stand for.
_TAKEN: Final = frozenset({"modules_to_save", "peft_type", "target_modules", "task_type"})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Peft(Method):
    """Whatever an adapter of peft trains, and some modules whole; the base is frozen.

    What peft draws while it adapts the model is drawn from the portable family instead, in the
    order in which it asks; so peers start from the same bits. A few types also decompose the base's
    weights, whose last bits depend on the machine: the digest of what is frozen covers what peft
    added, so that peers whose starts differ refuse each other. docs/methods.md lists the types.

    Averages are those of the numbers that travel. Where an adapter multiplies several of them, as
    most do, they are close to those of the changes only while peers mix often.

    Attributes:
        type: A name of `peft.PeftType`, such as `IA3`.
        targets: Names, or last parts of names, of the layers that it adapts; empty for types
            that choose for themselves, as those that learn prompts do.
        modules: Modules that train and travel whole, such as a classification head; may be none.
        initial: `portable` or `given`, as of `Full`, for `modules`.
        task: A name of `peft.TaskType`, such as `SEQ_CLS`, which prompts need; empty for none.
        options: Further fields of the type's configuration, as `name=value` with the value in
            JSON: `r=4`, `init_weights=true`, `bias="none"`.
    """

    name: ClassVar[str] = "peft"

    type: str = "LORA"
    targets: tuple[str, ...] = ("query", "value")
    modules: tuple[str, ...] = ("head",)
    initial: str = "portable"
    task: str = ""
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_text(self.type, "method.type")
        if self.targets:
            check_names(self.targets, "method.targets")
        if self.modules:
            check_names(self.modules, "method.modules")
        check_choice(self.initial, "method.initial", INITIALS)
        check_text(self.task, "method.task")
        if self.options:
            check_names(self.options, "method.options")
        # The order in which options are written means nothing, and must not change the genesis.
        object.__setattr__(self, "options", tuple(sorted(self.options)))
        _parse(self.options)

    @override
    def adapt(self, model: nn.Module, *, seed: int) -> AdaptedModel:
        configuration = self._configure()
        freeze_all(model)
        heads = unfreeze_modules(model, self.modules, field="method.modules")
        warn_of_buffers(model)
        base = digest_frozen(model)
        originals = dict(_tensors(model))  # held, so that no other tensor can get their ids
        known = {id(value): name for name, value in originals.items()}
        wrapped = self._wrap(model, configuration, seed)
        for inner, value in wrapped.named_parameters():
            # peft froze them again. Its own `modules_to_save` would copy every module whose name
            # ends in the same letters.
            if known.get(id(value)) in heads and not _is_module_copy(inner):
                value.requires_grad_(True)
        names = {
            inner: known.get(id(value), plain_name(inner))
            for inner, value in wrapped.named_parameters()
            if value.requires_grad
        }
        added = {
            inner: value
            for inner, value in _tensors(wrapped)
            if not value.requires_grad and id(value) not in known and not _is_module_copy(inner)
        }
        adapted = collect(
            wrapped,
            names,
            method=self,
            head_names=heads,
            frozen_digest=blake3(base + digest_tensors(added)).digest() if added else base,
        )
        empty = [entry.name for entry in adapted.specification.entries if not entry.size]
        if empty:
            fix = f"set what it needs in method.options: {empty[0]} would have no values"
            raise ConfigError("method.type", self.type, fix)
        if self.initial == "portable":
            initialize(adapted, heads, seed=seed)
        return adapted

    @override
    def describe(self) -> dict[str, Constant]:
        return asdict(self)

    def _configure(self) -> Any:
        """Make the type's configuration."""
        from peft import TaskType  # seconds to import, and only here needed
        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

        made = {kind.value: each for kind, each in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
        usable = sorted(made.keys() - _UNUSABLE.keys())
        if self.type not in usable:
            reason = _UNUSABLE.get(self.type)
            why = f"it cannot take part: it {reason}; " if reason else ""
            raise ConfigError("method.type", self.type, f"{why}write one of {', '.join(usable)}")
        if self.task:
            check_choice(self.task, "method.task", tuple(each.value for each in TaskType))
        fields = {each.name for each in dataclasses.fields(made[self.type])}
        options: dict[str, Any] = {"task_type": self.task or None}
        if self.targets:
            if "target_modules" not in fields:
                fix = f"write []: {self.type} chooses for itself"
                raise ConfigError("method.targets", self.targets, fix)
            options["target_modules"] = list(self.targets)
        for name, value in _parse(self.options).items():
            if name not in fields - _TAKEN:
                free = ", ".join(sorted(fields - _TAKEN))
                fix = f"remove {name}; {self.type} of this peft has {free}"
                raise ConfigError("method.options", self.options, fix)
            options[name] = value
        try:
            return made[self.type](**options)
        except _REFUSALS as error:
            raise ConfigError("method.options", self.options, f"change them: {error}") from error

    def _wrap(self, model: nn.Module, configuration: Any, seed: int) -> nn.Module:
        from peft import get_peft_model

        try:
            with PortableDraws(seed, f"peft {self.type}"):
                wrapped: nn.Module = get_peft_model(model, configuration)
        except _REFUSALS as error:
            fix = f"it does not fit this model, these targets or options: {error}"
            raise ConfigError("method.type", self.type, fix) from error
        return wrapped


def _parse(options: tuple[str, ...]) -> dict[str, Any]:
    """Read options.

    Raises:
        ConfigError: If one is no `name=value`, or a name repeats.
    """
    parsed: dict[str, Any] = {}
    for option in options:
        name, equals, value = option.partition("=")
        try:
            if not equals or not name.isidentifier() or name in parsed:
                raise ValueError
            parsed[name] = json.loads(value)
        except ValueError as error:
            fix = 'write different name=value, with the value in JSON: r=4, bias="none"'
            raise ConfigError("method.options", option, fix) from error
    return parsed


def _tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _is_module_copy(name: str) -> bool:
    """Whether a module stands here as it was before training, beside the copy that trains."""
    return ".original_module." in name
