"""What the methods whose model is a function of everybody's logs have in common."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Final

from torch import nn
from typing_extensions import override

from p2pfed.updates.author_logs import AuthorLogs
from p2pfed.updates.codec import Codec
from p2pfed.updates.construction import Constant, check_choice, check_names
from p2pfed.updates.method import INITIALS, AdaptedModel, Method
from p2pfed.updates.methods.full import Full
from p2pfed.updates.methods.head import Head
from p2pfed.updates.specification import ParameterSpecification

OPERATION: Final = "operation"  # stands where other runs name a codec


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerMethod(Method, ABC):
    """Peers exchange entries of their logs, of which everybody computes the same model.

    Peers agree on the ledger's terms, and on what trains. How a peer finds out what to add is its
    own affair, and no part of the genesis.

    Attributes:
        codec_name: `operation`, where the ledger's own encoding is the only one, or a codec that
            writes vectors.
        own_constants: Names of the constants that are this peer's alone.
        modules: Modules that train whole, as of `Head`; if there are none, everything trains.
        initial: `portable` or `given`, as of `Full`.
    """

    is_ledger: ClassVar[bool] = True
    codec_name: ClassVar[str] = OPERATION
    own_constants: ClassVar[tuple[str, ...]] = ()

    modules: tuple[str, ...] = ()
    initial: str = "portable"

    def __post_init__(self) -> None:
        if self.modules:
            check_names(self.modules, "method.modules")
        check_choice(self.initial, "method.initial", INITIALS)

    @abstractmethod
    def ledger(
        self, specification: ParameterSpecification, *, run_id: bytes, codec: Codec | None
    ) -> AuthorLogs[Any, Any, Any]:
        """Make the run's ledger, empty.

        Args:
            specification: Of what trains.
            run_id: Of the run.
            codec: The run file's, None for `operation`.

        Raises:
            ConfigError: If a constant does not fit the model or the codec.
        """

    @override
    def adapt(self, model: nn.Module, *, seed: int) -> AdaptedModel:
        chosen: Method = Full(initial=self.initial)
        if self.modules:
            chosen = Head(modules=self.modules, initial=self.initial)
        return replace(chosen.adapt(model, seed=seed), method=self)

    @override
    def describe(self) -> dict[str, Constant]:
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in self.own_constants
        }
