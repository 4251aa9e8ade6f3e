"""What a paid endpoint may cost in one invocation, and what it has cost."""

from __future__ import annotations

from typing import NamedTuple

from babelweave.errors import UsageError


class Tokens(NamedTuple):
    """Read (the prompt) and written (the answer) by a model."""

    read: int
    written: int

    def plus(self, other: Tokens) -> Tokens:
        return Tokens(self.read + other.read, self.written + other.written)

    def minus(self, other: Tokens) -> Tokens:
        return Tokens(self.read - other.read, self.written - other.written)


class Budget:
    """Caps that are kept: the most a request can take is set aside before it is sent.

    Args:
        cap_tokens: read and written together; None is no cap.
        cap_cost: in the currency of the prices; None is no cap.
        price_read, price_written: of 1,000 tokens.
    Raises:
        UsageError: a negative number, or a cap in a currency without both prices.
    """

    def __init__(
        self,
        cap_tokens: int | None = None,
        cap_cost: float | None = None,
        price_read: float | None = None,
        price_written: float | None = None,
    ) -> None:
        if any(x is not None and not x >= 0 for x in (cap_tokens, cap_cost, price_read, price_written)):
            raise UsageError("caps and prices must not be negative")
        prices = None if price_read is None or price_written is None else (price_read, price_written)
        if prices is None and not cap_cost is price_read is price_written is None:
            raise UsageError("a cost needs both prices: price_input and price_output, of 1,000 tokens")
        self._cap_tokens, self._cap_cost, self._prices = cap_tokens, cap_cost, prices
        self.spent = Tokens(0, 0)
        self._aside = Tokens(0, 0)

    def cost(self, tokens: Tokens) -> float | None:
        """In the currency of the prices; None without prices."""
        if self._prices is None:
            return None
        return (tokens.read * self._prices[0] + tokens.written * self._prices[1]) / 1000

    def set_aside(self, most: Tokens) -> bool:
        """Whether a request that takes `most` at most still fits; if so, it counts until `settle`."""
        total = self.spent.plus(self._aside).plus(most)
        cost = self.cost(total)
        if self._cap_tokens is not None and sum(total) > self._cap_tokens:
            return False
        if self._cap_cost is not None and cost is not None and cost > self._cap_cost:
            return False
        self._aside = self._aside.plus(most)
        return True

    def settle(self, most: Tokens, used: Tokens) -> None:
        """What was set aside for a request is free again, and what it used is spent."""
        self._aside = self._aside.minus(most)
        self.spent = self.spent.plus(used)

    @property
    def is_idle(self) -> bool:
        """No request is under way."""
        return not any(self._aside)

    def __str__(self) -> str:
        """Spent of the caps: "1,200 of 1,500 tokens"."""
        parts = []
        if self._cap_tokens is not None:
            parts.append(f"{sum(self.spent):,} of {self._cap_tokens:,} tokens")
        if self._cap_cost is not None:
            parts.append(f"{self.cost(self.spent):,.4f} of {self._cap_cost:,.4f} (cap_cost)")
        return ", ".join(parts)
