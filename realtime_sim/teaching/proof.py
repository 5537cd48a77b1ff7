"""Say how many servers with twice the cores a million connections take, and which limit binds."""

from __future__ import annotations

from realtime_sim.planning import Plan, plan
from realtime_sim.teaching.checking import Verdict, scenario

__all__ = ["judge"]

CHANGES = {"servers.workers": 4, "slo.survive_servers": 2}
"""Of the notebook's scenario: what the exercise asks about."""

HOW = 'Write it like {"servers": 22, "binds": "cpu"}, with a limit that is one of'


def judge(answer: object) -> Verdict:
    """Whether number and limit are those of the plan by arithmetic."""
    found = plan(scenario("proof").replace(**CHANGES), queueing=False)
    known = f"{HOW}: {', '.join(found.own)}."
    if not isinstance(answer, dict) or set(answer) != {"servers", "binds"}:
        return Verdict(False, known)
    servers, binds = answer["servers"], answer["binds"]
    if (
        isinstance(servers, bool)
        or not isinstance(servers, int)
        or not isinstance(binds, str)
        or binds not in found.own
    ):
        return Verdict(False, known)
    lost = found.scenario.slo.survive_servers
    if binds != found.binding:
        return Verdict(False, _why_not(binds, found))
    if servers == found.servers:
        return Verdict(True, f"{found.servers} servers: {found.servers - lost} hold all, and {lost} may die.")
    if found.servers - lost <= servers < found.servers:
        return Verdict(False, f"With {servers} servers all is well until some die: {servers - lost} are left then.")
    return Verdict(False, f"{binds} binds, but the number is another: divide what there is by what one may hold.")


def _why_not(binds: str, found: Plan) -> str:
    """What the limit that was named asks for, and that another asks for more."""
    alone = found.own[binds]
    return (
        f"{binds} asks for {alone} servers, those to spare included. Does another limit, which no core "
        "changes, ask for more? The one that asks for most decides."
    )
