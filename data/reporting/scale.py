"""Chart axes: round tick values and their labels."""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear axis: values `low`..`high` on pixels `start`..`end` (may run downwards), with tick values."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """The pixel of a value."""
        span = self.high - self.low
        return self.start + (self.end - self.start) * ((value - self.low) / span if span else 0.5)


def nice_step(span: float, count: int) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that divides `span` into at most `count` parts.

    >>> nice_step(90, 5)
    20.0
    """
    raw = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10, 20) if power * factor >= raw * (1 - 1e-9))


def make_scale(
    low: float, high: float, start: float, end: float, *, ticks: int = 5, widen: bool = True, whole: bool = False
) -> Scale:
    """An axis with about `ticks` round marks; `widen` moves the ends to marks, `whole` allows whole numbers only."""
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"axis from {low} to {high}: both ends must be finite")
    if high - low < 1e-12 * max(abs(low), abs(high), 1.0):
        low, high = (low - 0.5, high + 0.5) if low else (0.0, 1.0)
    step = nice_step(high - low, ticks)
    step = max(step, 1.0) if whole else step
    if widen:
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Scale(low, high, start, end, tuple(number * step for number in range(first, last + 1)))


def plain_number(value: float) -> str:
    """A short label: thousands apart, no needless zeros, powers for the very small.

    >>> [plain_number(value) for value in (0, 1500, 0.25, 2e-5, 12_000_000)]
    ['0', '1,500', '0.25', '2e-5', '12M']
    """
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:.4g}M"
    if size < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:,.0f}" if size >= 1000 or float(value).is_integer() else f"{value:.4g}"


def percent_label(value: float) -> str:
    """A share as a label.

    >>> percent_label(0.25)
    '25 %'
    """
    return f"{100 * value:.4g} %"


Label = Callable[[float], str]
