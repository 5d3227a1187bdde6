"""What a workbench does for privacy: it pays before it trains, and hides what training changed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, final

import torch
from torch import Tensor

from p2pfed.errors import ConfigError, LocalError
from p2pfed.learn.privacy.accountant import Accountant, Gaussian
from p2pfed.learn.privacy.secret import SecretNumbers
from p2pfed.updates.construction import check_integer, check_number

_PREFIX: Final = "privacy/"
_MECHANISM: Final = "mechanism"

# Of each mechanism: the rows in which two peers may differ whom a release hardly tells apart.
PROTECTED: Final[Mapping[str, str]] = {"per-release": "all rows", "per-step": "one row"}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateReleases:
    """How what all local steps of a round changed is hidden, whoever took them.

    The change is clipped to `clip_norm` and noise is added, and the own vector goes on from the
    result. Whatever the rows are, the clipped changes of two sets of rows are at most twice
    `clip_norm` apart: with normal noise of `noise_multiplier * clip_norm`, a release is a Gaussian
    one of half the multiplier, and protects all rows of the peer together.

    Attributes:
        clip_norm: Above 0.
        noise_multiplier: Above 0.
        numbers: Make the noise.

    Source: McMahan et al. 2018, "Learning differentially private recurrent language models",
        algorithm 1 (clipping of updates).
    Differs: every peer adds the noise itself and nobody sums before it is seen, so that each
        release counts in full, and for the replacement of a peer's rows instead of its absence.
    """

    clip_norm: float
    noise_multiplier: float
    numbers: SecretNumbers

    def __post_init__(self) -> None:
        check_number(self.clip_norm, "privacy.clip_norm", above=0.0)
        check_number(self.noise_multiplier, "privacy.noise_multiplier", above=0.0)

    @property
    def gaussian(self) -> Gaussian:
        """What one release costs."""
        return Gaussian(noise_multiplier=self.noise_multiplier / 2.0)

    def hide(self, before: Tensor, after: Tensor) -> Tensor:
        """Return the vector to go on from and to publish.

        Args:
            before: Everybody may know it, shape (d,), float32.
            after: What local steps made of it; a change that is not finite counts as none.
        """
        change = after.double() - before.double()
        norm = torch.linalg.vector_norm(change)
        factor = (self.clip_norm / norm).clamp(max=1.0)
        clipped = change * factor if bool(norm.isfinite()) else torch.zeros_like(change)
        noise = self.numbers.normal(len(before)).mul_(self.noise_multiplier * self.clip_norm)
        return (before.double() + clipped + noise).float()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacySpent:
    """What was told about training rows so far.

    Attributes:
        mechanism: `per-step` or `per-release`; epsilon is about what it protects.
        epsilon: Spent, the round in progress included.
        epsilon_max: The budget.
        delta: Chance that epsilon does not hold.
        releases: Noisy steps, or releases, that were counted.
    """

    mechanism: str
    epsilon: float
    epsilon_max: float
    delta: float
    releases: int

    @property
    def protected(self) -> str:
        """What each release protected: `one row` or `all rows`."""
        return PROTECTED[self.mechanism]

    @property
    def epsilon_left(self) -> float:
        """What is left of the budget."""
        return max(0.0, self.epsilon_max - self.epsilon)

    def to_json_object(self) -> dict[str, float | int | str]:
        """Return the fields as JSON knows them."""
        return {
            **asdict(self),
            "epsilon_left": self.epsilon_left,
            "protected": self.protected,
        }


@final
class PrivacyGuard:
    """Keeps a peer within its budget.

    A round is paid for before its first step. What is saved after an integration includes the next
    round: whoever goes on from it may have begun that round, and told what came of it.

    Args:
        accountant: Counts.
        gaussian: What one release costs.
        releases_per_round: So many releases make a round: its steps, or 1.
        releases: Hides what a round changed; None where every step did so already.
    """

    def __init__(
        self,
        accountant: Accountant,
        gaussian: Gaussian,
        *,
        releases_per_round: int,
        releases: PrivateReleases | None = None,
    ) -> None:
        check_integer(releases_per_round, "steps.steps_per_round", least=1)
        self._accountant = accountant
        self._gaussian = gaussian
        self._count = releases_per_round
        self._releases = releases
        self._may_begin = True
        self._spent = self._measure()

    @property
    def spent(self) -> PrivacySpent:
        """What was told so far; may be asked from any thread."""
        return self._spent

    def begin_round(self) -> None:
        """Pay for a round.

        Raises:
            BudgetSpent: If the budget does not suffice: the round must not begin.
        """
        self._accountant.charge(self._gaussian, self._count)
        self._spent = self._measure()

    def hide(self, before: Tensor, after: Tensor) -> Tensor:
        """Return what a round from one vector to another may end with, all of shape (d,)."""
        return after if self._releases is None else self._releases.hide(before, after)

    def end_round(self) -> None:
        """Take note that the round that was paid for is over."""
        self._may_begin = False

    def end_integration(self) -> None:
        """Take note that the next round may begin."""
        self._may_begin = True

    def state(self) -> dict[str, Tensor]:
        """Return what `load_state` needs, the round that may begin now included."""
        ahead = self._count if self._may_begin else 0
        if not self._accountant.affords(self._gaussian, ahead):
            ahead = 0  # such a round does not begin
        state = self._accountant.state(self._gaussian, ahead)
        state[_MECHANISM] = _text_tensor(_words_of(self._mechanism))
        return {_PREFIX + name: tensor for name, tensor in state.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned.

        Raises:
            ConfigError: If it was spent by another mechanism, or by one that cannot be known: its
                releases protected something else, and what the learner remembers of rows was
                hidden in another way.
            LocalError: If it is something else, or the model was trained without privacy.
        """
        if not state:
            raise LocalError(
                "the saved model was trained without privacy, and was told to others; set "
                "privacy.enabled = false, or use another state folder"
            )
        own = {name.removeprefix(_PREFIX): tensor for name, tensor in state.items()}
        told = own.pop(_MECHANISM, None)
        self._accountant.load_state(own)
        self._check_mechanism(None if told is None else _tensor_text(told))
        self._spent = self._measure()

    @property
    def _mechanism(self) -> str:
        return "per-step" if self._releases is None else "per-release"

    def _check_mechanism(self, told: str | None) -> None:
        """Refuse a history of releases that protected something else.

        Args:
            told: The words that were saved with it; None where none were, as before they were.
        """
        if told == _words_of(self._mechanism) or not self._accountant.releases:
            return
        if told is not None:
            fix = f"write {told.partition(' ')[0]}, as before"
        elif self._mechanism == "per-step" and self._accountant.is_sampled:
            return  # no other mechanism samples
        else:
            fix = "nobody knows which mechanism it was before"
        fix += ", or use another state folder: what was spent so far protected something else"
        raise ConfigError("privacy.mechanism", self._mechanism, fix)

    def _measure(self) -> PrivacySpent:
        budget = self._accountant.budget
        return PrivacySpent(
            mechanism=self._mechanism,
            epsilon=self._accountant.epsilon(),
            epsilon_max=budget.epsilon_max,
            delta=budget.delta,
            releases=self._accountant.releases,
        )


def check_never_private(state: Mapping[str, Tensor]) -> None:
    """Refuse to go on without privacy from what `PrivacyGuard.state` is a part of.

    Raises:
        LocalError: If it is.
    """
    if any(is_privacy_state(name) for name in state):
        raise LocalError(
            "the saved model was trained with privacy, which ends if it is trained without; "
            "set privacy.enabled = true, or use another state folder"
        )


def is_privacy_state(name: str) -> bool:
    """Tell whether a saved tensor is one of `PrivacyGuard.state`."""
    return name.startswith(_PREFIX)


def _words_of(mechanism: str) -> str:
    return f"{mechanism} {PROTECTED[mechanism]}"


def _text_tensor(text: str) -> Tensor:
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


def _tensor_text(tensor: Tensor) -> str:
    """Return a saved text.

    Raises:
        LocalError: If it names no mechanism with what that protects.
    """
    is_text = tensor.dtype == torch.uint8
    text = bytes(tensor.flatten().tolist()).decode("ascii", "replace") if is_text else ""
    if text not in map(_words_of, PROTECTED):
        raise LocalError("the saved state does not say by which mechanism privacy was spent")
    return text
