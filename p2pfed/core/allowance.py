"""How much a neighbor may send to us, and ask of us, in a while: a token bucket."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(slots=True, kw_only=True)
class Allowance:
    """An amount that is used up and comes back with time.

    Attributes:
        amount_max: The most that can be there.
        per_s: How much comes back each second.
        left: How much was there at `since_s`.
        since_s: When `left` was last brought up to date, in seconds.
    """

    amount_max: float
    per_s: float
    left: float
    since_s: float

    def take(self, amount: float, now_s: float) -> bool:
        """Use up an amount if there is so much; return whether there was."""
        refill = (now_s - self.since_s) * self.per_s
        self.left = min(self.left + refill, self.amount_max)
        self.since_s = now_s
        if amount > self.left:
            return False
        self.left -= amount
        return True
