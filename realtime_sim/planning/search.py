"""The search for the smallest number that keeps every promise.

    servers    1 ...       lowest ...     ...     ...
               ruled out   broken         ?       kept

1. Arithmetic rules out everything below `lowest`.
2. Theory guesses a number. There, and from there on, one short look at a time, of one replication: down while the
   promises are met, up while one is broken, by steps that double, until a broken number and a kept one are known; then
   what is between is halved.
3. The least that was met and the number below it are decided with all replications: up while one is broken, down while
   the number below keeps everything as well. So it is seen, and not assumed, that one server less is too few.

More servers do not always help. What a doubling gains is halved by the next one, where it is waiting that shrinks: if
even as much again as the last doubling gained would not meet a promise, no number will, and the search ends. A recovery
is not like that: a storm feeds itself until there are servers enough for it, and then it is over in no time. Of that,
two doublings without any gain end the search.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from realtime_sim.planning.judging import AT_LEAST, Check, Evaluation

__all__ = ["hopeless", "least_decided", "least_met"]

NO_GAIN = 0.01
"""Share of a figure by which it differs from run to run although nothing has changed."""


def least_met(look: Callable[[int], Evaluation], lowest: int, guess: int, at_most: int) -> int | None:
    """The least number whose figures meet every promise, as far as short looks tell; None if no number does.

    Parameters
    ----------
    look : callable
        A short look at a number.
    lowest : int
        The least number that is not ruled out.
    guess : int
        Where to begin.
    at_most : int
        The most that may be taken.

    Examples
    --------
    >>> from realtime_sim.planning.judging import Evaluation, Check
    >>> def look(n):
    ...     p99 = 10 + 90 / n
    ...     return Evaluation(n, (Check("p99", "normal", 20, p99, p99, p99, "ms", p99 <= 20, True),))
    >>> least_met(look, lowest=2, guess=4, at_most=100), least_met(look, lowest=2, guess=30, at_most=100)
    (9, 9)
    """
    broken, met, step, n = lowest - 1, None, 1, guess
    seen: dict[int, Evaluation] = {}
    while met is None or met - broken > 1:
        seen[n] = seen.get(n) or look(n)
        if seen[n].met:
            met = n
        elif n == lowest and met is None and len(seen) > 1:
            return None  # all that is larger has been given up
        else:
            broken = n
        if met is None and (n == at_most or hopeless(seen)):
            if lowest in seen:
                return None
            broken, n = lowest - 1, lowest  # perhaps fewer are better: a broker has more to do for more servers
            continue
        n = _next(broken, met, step, lowest, at_most)
        step *= 2
    return met


def _next(broken: int, met: int | None, step: int, lowest: int, at_most: int) -> int:
    if met is None:
        return min(broken + step, at_most)
    if broken < lowest:
        return max(met - step, lowest)
    return (broken + met) // 2


def hopeless(seen: Mapping[int, Evaluation]) -> Check | None:
    """The promise that no number will meet, by what doubling has gained; None if there may be one.

    Parameters
    ----------
    seen : mapping of int to Evaluation
        Every number that was looked at.

    Examples
    --------
    >>> from realtime_sim.planning.judging import Evaluation, Check
    >>> def at(n, p99):
    ...     return Evaluation(n, (Check("p99", "normal", 20, p99, p99 - 1, p99 + 1, "ms", False, True),))
    >>> hopeless({4: at(4, 60), 8: at(8, 35)}) is None  # another 25 ms would do
    True
    >>> hopeless({4: at(4, 60), 8: at(8, 45)}).found
    45
    """
    many = max(seen, default=0)
    earlier = [n for n in seen if 2 * n <= many]
    if not earlier:
        return None
    for check in seen[many].checks:
        if check.met is not False or check.decided_by == "arithmetic" or not (check.sure or math.isnan(check.low)):
            continue
        half = max(earlier)
        before = _same(seen[half], check)
        if check.constraint == "recovery":
            quarter = max((n for n in seen if 2 * n <= half), default=half)
            figures = [_same(seen[n], check) for n in {half, quarter}]
            if quarter < half and all(one is not None and _stands_still(one, check) for one in figures):
                return check
        elif before is not None and _falls_short(before.found, check):
            return check
    return None


def _same(evaluation: Evaluation, check: Check) -> Check | None:
    """The check of the same promise in the same drill with another number."""
    return next((one for one in evaluation.checks if _key(one) == _key(check)), None)


def _stands_still(before: Check, check: Check) -> bool:
    return math.isfinite(check.found) and before.found - check.found <= NO_GAIN * check.found


def _key(check: Check) -> tuple[str, str]:
    return check.constraint, check.drill


def _falls_short(before: float, check: Check) -> bool:
    """Whether as much again as the last doubling gained would leave the promise broken."""
    gained = 0.0 if before == check.found else before - check.found
    if check.constraint in AT_LEAST:
        return check.found - min(gained, 0.0) < check.promised
    return check.found - max(gained, 0.0) > check.promised


def least_decided(decide: Callable[[int], Evaluation], start: int, lowest: int, at_most: int) -> int | None:
    """The least number that keeps every promise with all replications, with the one below it broken.

    Parameters
    ----------
    decide : callable
        A number with all replications; asked twice, it has the same answer.
    start : int
        Where to begin.
    lowest, at_most : int
        The least number that is not ruled out, and the most that may be taken.

    Examples
    --------
    >>> from realtime_sim.planning.judging import Evaluation, Check
    >>> def decide(n):
    ...     return Evaluation(n, (Check("p99", "normal", 20, 90 / n, 90 / n, 90 / n, "ms", 90 / n <= 20, True),))
    >>> [least_decided(decide, start, lowest=2, at_most=9) for start in (3, 5, 8)]
    [5, 5, 5]
    """
    n = start
    while not decide(n).kept:
        if n == at_most:
            return None
        n += 1
    while n > lowest and decide(n - 1).kept:
        n -= 1
    return n
