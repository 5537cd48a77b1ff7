"""Errors that say whose fault it is, and what to do next.

`ScenarioError` is the user's input, `UnsupportedFeature` a limit of one engine, `EngineError` a defect of ours,
`LiveError` the world's: a process, a port or a machine that did not do what a live run needs.
Every message names the path, the rule, the value and the next step.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = [
    "EngineError",
    "LiveError",
    "Problem",
    "RealtimeSimError",
    "ScenarioError",
    "UnsupportedFeature",
    "close_to",
    "nearest",
]

_LONGEST_VALUE = 80


class _Shorten(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        """Python refuses to spell an integer of more than 4,300 digits (14,282 bits)."""
        return super().repr_int(x, level) if x.bit_length() <= 4_300 else f"an integer of {x.bit_length()} bits"


_shorten = _Shorten()
_shorten.maxlevel, _shorten.maxstring, _shorten.maxother, _shorten.maxlong = 4, 200, 200, 60
"""Values come from anywhere: a few lines of YAML aliases can stand for gigabytes of text, so never spell one out."""


class RealtimeSimError(Exception):
    """Any error raised on purpose by this package."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input: where, which rule, what was found, what to do.

    Parameters
    ----------
    path : str
        Which field, dotted.
    rule : str
        What must hold.
    value : object
        What was found.
    next_step : str
        What to do.
    line : int, optional
        Where in the text of a file it stands, from 1; it opens the message of a `ScenarioError`.

    Examples
    --------
    >>> print(Problem("servers.count", "must be at least 1", 0, "give the number of servers"))
    servers.count must be at least 1, got 0; give the number of servers
    """

    path: str
    rule: str
    value: object
    next_step: str
    line: int | None = None

    def __str__(self) -> str:
        text = _shorten.repr(self.value)
        if len(text) > _LONGEST_VALUE:
            text = text[: _LONGEST_VALUE - 1] + "…"
        return f"{self.path} {self.rule}, got {text}; {self.next_step}"


class ScenarioError(RealtimeSimError, ValueError):
    """The scenario, or another input of the user, is wrong.

    Parameters
    ----------
    problems : Problem or iterable of Problem
        Everything found wrong, so that one run shows all of it.
    source : str, optional
        File the input came from; it opens the message.

    Examples
    --------
    >>> error = ScenarioError(Problem("seed", "must be at least 0", -1, "use 0 or a positive integer"))
    >>> error.problems[0].path
    'seed'
    """

    def __init__(self, problems: Problem | Iterable[Problem], source: str = "") -> None:
        self.problems: Sequence[Problem] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        self.source = source
        super().__init__(self.problems, source)  # a copy can be made from what stands in `args`, as SimPy does

    def __str__(self) -> str:
        return "\n".join(self._place(problem) + str(problem) for problem in self.problems)

    def _place(self, problem: Problem) -> str:
        """File and line, as far as they are known."""
        line = "" if problem.line is None else f"line {problem.line}"
        place = ", ".join(part for part in (self.source, line) if part)
        return f"{place}: " if place else ""

    def __reduce__(self) -> tuple:
        return (type(self), (tuple(self.problems), self.source))


class UnsupportedFeature(RealtimeSimError, NotImplementedError):
    """An engine cannot run this scenario; `field` names what it lacks."""

    def __init__(self, field: str, engine: str, next_step: str) -> None:
        self.field = field
        self.engine = engine
        self.next_step = next_step
        super().__init__(field, engine, next_step)

    def __str__(self) -> str:
        return f"{self.field} is not supported by engine {self.engine!r}; {self.next_step}"

    def __reduce__(self) -> tuple:
        return (type(self), (self.field, self.engine, self.next_step))


class EngineError(RealtimeSimError, RuntimeError):
    """An invariant of an engine does not hold: a defect of this package, not of the scenario."""


class LiveError(RealtimeSimError, RuntimeError):
    """The world did not do what a live run needs: a program is missing, a port is taken, a process has ended.

    Parameters
    ----------
    what : str
        What it was about, such as `broker` or `server 2`.
    found : str
        What happened.
    next_step : str
        What to do.

    Examples
    --------
    >>> print(LiveError("balancer haproxy", "is not on PATH", "install it, or use balancer none"))
    balancer haproxy: is not on PATH; install it, or use balancer none
    """

    def __init__(self, what: str, found: str, next_step: str) -> None:
        self.what, self.found, self.next_step = what, found, next_step
        super().__init__(what, found, next_step)

    def __str__(self) -> str:
        return f"{self.what}: {self.found}; {self.next_step}"

    def __reduce__(self) -> tuple:
        return (type(self), (self.what, self.found, self.next_step))


def close_to(word: str, known: Iterable[str]) -> list[str]:
    """The known names closest to `word`, equally close ones all; or else those that begin with it.

    Examples
    --------
    >>> close_to("p95", ["p50", "p99", "max_lost_ratio"])
    ['p50', 'p99']
    >>> close_to("Redis", ["kafka", "redis_pubsub", "redis_streams"])
    ['redis_pubsub', 'redis_streams']
    """
    names, word = sorted(set(known)), str(word)
    if close := difflib.get_close_matches(word, names, n=1):
        best = difflib.SequenceMatcher(None, close[0], word).ratio()
        return [name for name in names if difflib.SequenceMatcher(None, name, word).ratio() == best]
    return [name for name in names if len(word) > 2 and name.lower().startswith(word.lower())]


def nearest(word: str, known: Iterable[str]) -> str:
    """A next step that offers the known names closest to `word`, or lists them all.

    Examples
    --------
    >>> nearest("websockt", ["websocket", "sse"])
    "did you mean 'websocket'?"
    >>> nearest("x", ["websocket", "sse"])
    'known names: sse, websocket'
    """
    names = sorted(known)
    close = close_to(word, names)
    if close:
        return "did you mean " + " or ".join(repr(name) for name in close[:3]) + "?"
    return "known names: " + ", ".join(names)
