"""What a plan says in sentences: why no number suffices, and what an answer takes for granted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from realtime_sim.latency import QUANTILES
from realtime_sim.limits.table import plural
from realtime_sim.planning.arithmetic import Arithmetic
from realtime_sim.planning.drills import Lengths
from realtime_sim.planning.judging import AT_LEAST, Check, Evaluation
from realtime_sim.planning.search import hopeless

__all__ = ["Blocked", "assumptions", "given_up", "interval_text", "ruled_out", "value_text"]


class Blocked(NamedTuple):
    """Why no number of servers suffices.

    Parameters
    ----------
    constraint : str
        What cannot be met.
    text : str
        In words, with figures.
    """

    constraint: str
    text: str


def value_text(value: float, unit: str) -> str:
    """A figure of a check with its unit.

    Examples
    --------
    >>> [value_text(x, unit) for x, unit in ((12.345, "ms"), (0.4567, "ratio"), (50_000.0, "connections each"))]
    ['12.3 ms', '45.7 %', '50,000']
    >>> value_text(138.9, "busy"), value_text(33_333.3, "connections each")
    ('13,890 %', '33,333')
    >>> value_text(float("inf"), "s"), value_text(float("nan"), "ms"), value_text(0.00012, "ratio")
    ('never', '-', '0.012 %')
    """
    if not math.isfinite(value):
        return "-" if math.isnan(value) else "never"
    value, name = (value * 100, " %") if unit in ("ratio", "busy") else (value, f" {unit}")
    digits = f"{value:,.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:.3g}"
    return digits + (name if unit in ("ratio", "busy", "ms", "s") else "")


def interval_text(check: Check) -> str:
    """What was found, its interval, and what is promised.

    Parameters
    ----------
    check : Check
        Of simulation.

    Examples
    --------
    >>> interval_text(Check("p99", "normal", 150, 145, 138.2, 152, "ms", False, False))
    '145 ms [138 ms, 152 ms], promised 150 ms'
    """
    found, low, high = (value_text(x, check.unit) for x in (check.found, check.low, check.high))
    spread = f"[{low}, {high}]" if not math.isnan(check.low) else f"without an interval ({check.note or 'of one run'})"
    return f"{found} {spread}, promised {value_text(check.promised, check.unit)}"


def ruled_out(arithmetic: Arithmetic, lowest: int | None, at_most: int) -> Blocked | None:
    """Why arithmetic rules every number out; None if it does not.

    Parameters
    ----------
    arithmetic : Arithmetic
        Of the scenario.
    lowest : int or None
        The least number that it does not rule out, the broker left out.
    at_most : int
        The most servers that may be taken.
    """
    checks = arithmetic.checks(lowest or at_most)
    broken = [check for check in checks if check.kept is False]
    if not broken:
        return None
    worst = max(broken, key=lambda check: check.constraint in QUANTILES)  # that is so with any number
    return Blocked(worst.constraint, _too_much(arithmetic, worst, lowest, at_most))


def _too_much(arithmetic: Arithmetic, check: Check, lowest: int | None, at_most: int) -> str:
    found, promised = value_text(check.found, check.unit), value_text(check.promised, check.unit)
    if check.constraint == "broker":
        return (
            f"The broker is {found} busy with {plural(lowest or at_most, 'server')}, {promised} are allowed, and more "
            "servers give it no less to do."
        )
    if check.constraint == "survivors":
        return f"Not more than {plural(at_most, 'server')} may be taken (at_most), and {check.note}."
    if check.constraint in QUANTILES:
        return f"At {check.constraint} {check.note} takes {found}, and {promised} are promised: bring servers nearer."
    if check.constraint in ("cpu", "utilization"):
        why = ", as every server decodes every message" if arithmetic.load.every_server_decodes else ""
        return f"Loops are {found} busy even with {plural(at_most, 'server')}{why}; {promised} are allowed."
    if check.constraint == "egress":
        return f"Links are {found} busy even with {plural(at_most, 'server')} (at_most); {promised} are allowed."
    return f"{plural(at_most, 'server')} (at_most) would hold {found} connections each, and have room for {promised}."


def given_up(evaluations: Mapping[int, Evaluation], at_most: int) -> Blocked:
    """Why the search has ended without a number.

    Parameters
    ----------
    evaluations : mapping of int to Evaluation
        What was looked at.
    at_most : int
        The most servers that may be taken.
    """
    most = max(evaluations)
    in_vain = hopeless(evaluations)
    not_kept = [check for check in evaluations[most].checks if check.kept is False]
    check = in_vain or next((check for check in not_kept if not check.met), not_kept[0])
    if check.met:
        text = (
            f"{check.constraint} with {plural(most, 'server')} is not shown to keep its promise: {interval_text(check)}"
        )
        return Blocked(check.constraint, f"{text}; no more than {at_most:,} may be taken (at_most).")
    found, promised = value_text(check.found, check.unit), value_text(check.promised, check.unit)
    why = f" ({check.note})" if check.note else ""
    text = f"{check.constraint} is {found}{why} with {plural(most, 'server')}, {promised} {_side(check)} are promised"
    few = [n for n in evaluations if 2 * n <= most and evaluations[n].check(check.constraint)]
    if not few or not in_vain:
        return Blocked(check.constraint, f"{text}; no more than {at_most:,} may be taken (at_most).")
    before = evaluations[max(few)].check(check.constraint)
    gained = f"with {max(few):,} it is {value_text(before.found, check.unit)}"
    return Blocked(check.constraint, f"{text}; {gained}, so more servers do not help.")


def _side(check: Check) -> str:
    return "at least" if check.constraint in AT_LEAST else "at most"


def assumptions(arithmetic: Arithmetic, lengths: Lengths | None) -> tuple[str, ...]:
    """What an answer takes for granted.

    Parameters
    ----------
    arithmetic : Arithmetic
        Of the scenario.
    lengths : Lengths or None
        How long drills take; None where nothing was simulated.
    """
    scenario = arithmetic.scenario
    slo, servers = scenario.slo, scenario.servers
    texts = [
        f"Everybody is connected at once: {scenario.n_clients:,} clients, spread evenly where arithmetic decides.",
        f"Work takes servers what the profile {servers.profile} says, and each has its cores to itself.",
    ]
    if scenario.broker.kind == "none" and scenario.traffic:
        texts.append(
            "Without a broker a message reaches the clients of one server only; max_lost_ratio counts the rest."
        )
    if lengths is None:
        busy = value_text(arithmetic.allowed["broker"], "busy")
        return (*texts, f"Nothing was simulated: loops and the broker may be {busy} busy, and nothing waits.")
    texts.append(_lengths_text(lengths))
    if k := slo.survive_servers:
        texts.append(
            f"{plural(k, 'server')} {'dies' if k == 1 else 'die at once'} and {'stays' if k == 1 else 'stay'} dead; "
            f"the others are held to the promises from {lengths.recover_s:g} s after that on. What is lost or late "
            "until then is not: no number of servers prevents losses, a broker with a log does."
        )
    if slo.survive_deploy:
        texts.append("A rolling deploy is judged throughout, what it loses included.")
    if slo.recover_within is not None and not slo.survive_servers and not scenario.faults:
        texts.append("Nothing tries recover_within: set survive_servers, or add a fault.")
    return tuple(texts)


def _lengths_text(lengths: Lengths) -> str:
    if lengths.timed:
        return "The scenario is run as long as it is written, as something in it has its hour."
    return f"A drill measures {lengths.measured_s:.3g} s of traffic after {lengths.settle_s:.3g} s in which it settles."
