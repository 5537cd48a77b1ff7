"""The Cluster: what a control process may do to a system. Every act is written down with its reason."""

from __future__ import annotations

from collections.abc import Generator

import simpy

from realtime_sim.control.environment import Environment
from realtime_sim.control.machinery import Instance, Machinery, Observation
from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.recorder import Recorder
from realtime_sim.scenario import Scenario
from realtime_sim.trace import Decision
from realtime_sim.units import parse_duration, parse_number, to_ns

__all__ = ["Cluster"]

DRAIN_STEP_NS = 100_000_000
"""A drain closes connections ten times a second."""

NOTICES = ("rst", "silent")

PERMILLE = 1_000


class Cluster:
    """A running system in the hands of one control process, simulated or real.

    A process is a generator `def chaos(env, cluster)`: it waits by ``yield env.timeout("30s")`` and acts by these
    methods. Servers are named by their numbers; a server that is started later has the next free one.

    Parameters
    ----------
    actor : str
        Whose process it is, for the record.
    env : Environment
        Its clock.
    machinery : Machinery
        What does the work.
    scenario : Scenario
        What is running.
    recorder : Recorder
        Where decisions and disturbances are written down.
    disturbance : int, optional
        Number that all of its acts are counted under; left out, each act that cuts connections has its own.
    """

    def __init__(
        self,
        actor: str,
        env: Environment,
        machinery: Machinery,
        scenario: Scenario,
        recorder: Recorder,
        disturbance: int | None = None,
    ) -> None:
        self.actor, self.env, self.scenario = actor, env, scenario
        self._machinery, self._recorder, self._disturbance = machinery, recorder, disturbance

    def observe(self) -> Observation:
        """What there is to see now."""
        return self._machinery.observe()

    def note(self, action: str, target: str, reason: str) -> None:
        """Write a decision down, also one to do nothing."""
        self._recorder.decided(Decision(self.env.now_ns, self.actor, action, target, reason))

    # Servers.

    def kill(self, server: int, notice: str = "rst", reason: str = "") -> None:
        """A server dies at once.

        Parameters
        ----------
        server : int
            Its number.
        notice : str
            Clients see a reset (`rst`), or nothing until their keepalive fails (`silent`).
        reason : str
            For the record.
        """
        self._notice(notice)
        if notice == "silent" and any(cohort.keepalive is None for cohort in self.scenario.clients):
            step = "give every cohort a keepalive, or use notice: rst"
            raise ScenarioError(Problem("notice", "must not be silent where a cohort has no keepalive", notice, step))
        instance = self._instance(server)
        if not instance.alive:
            self.note("kill", _name(server), "nothing done: it is dead already")
            return
        self.note("kill", _name(server), reason or f"with {instance.connections:,} connections, noticed by {notice}")
        self._machinery.kill(server, notice == "silent", self._blame("kill_server"))

    def add_server(self, startup: float | str | None = None, reason: str = "") -> simpy.Process:
        """Order one more server. `yield` it to wait until it is ready and get its number; `interrupt()` cancels it.

        Parameters
        ----------
        startup : float or str, optional
            Time until it is ready, seconds; `servers.startup` if left out.
        reason : str
            For the record.
        """
        wait = self.scenario.servers.startup if startup is None else startup
        return self.env.process(self._add_server(wait, reason))

    def _add_server(self, startup: float | str, reason: str) -> Generator:
        self.note("order server", "", reason or f"ready in {parse_duration(startup):g} s")
        try:
            yield self.env.timeout(startup)
        except simpy.Interrupt:
            self.note("cancel order", "", "not needed any more")
            return None
        number = self._machinery.start_server()
        self.note("start server", _name(number), "ready for connections")
        return number

    def restart(self, server: int, notice: str = "rst", reason: str = "") -> simpy.Process:
        """Kill a server and order another in its place. `yield` it to wait until that is ready and get its number."""
        self.kill(server, notice, reason)
        return self.add_server(reason=f"in the place of {_name(server)}")

    def drain(
        self, server: int, over: float | str | None = None, rate: float | None = None, reason: str = ""
    ) -> simpy.Process:
        """Take a server out of service: no new connections, those it has closed step by step, then it stops.

        Parameters
        ----------
        server : int
            Its number.
        over : float or str, optional
            Time in which its connections are closed, evenly, seconds; `servers.grace` if left out. Whoever has come
            in by then all the same is cut off.
        rate : float, optional
            Connections closed a second, in the place of `over`; it then takes as long as it takes.
        reason : str
            For the record.

        Returns
        -------
        simpy.Process
            `yield` it to wait until the server has stopped.
        """
        instance = self._instance(server)
        over_s = self.scenario.servers.grace if over is None else parse_duration(over)
        if rate is not None:
            over_s = instance.connections / rate
        return self.env.process(self._drain(instance, over_s, reason))

    def _drain(self, instance: Instance, over_s: float, reason: str) -> Generator:
        server, blame = instance.number, self._blame("drain_server")
        if not instance.alive:
            self.note("drain", _name(server), "nothing done: it is dead already")
            return
        self.note("drain", _name(server), reason or f"{instance.connections:,} connections in {over_s:g} s")
        self._machinery.set_ready(server, False)
        begun_ns, over_ns, n_closed = self.env.now_ns, int(to_ns(over_s)), 0
        while self._machinery.close_connections(server, 0, blame) > 0 and self.env.now_ns < begun_ns + over_ns:
            yield self.env.at_ns(min(self.env.now_ns + DRAIN_STEP_NS, begun_ns + over_ns))
            n_due = instance.connections * (self.env.now_ns - begun_ns) // over_ns - n_closed
            n_closed += n_due
            self._machinery.close_connections(server, n_due, blame)
        n_left = self._machinery.close_connections(server, 0, blame)
        self.note("stop", _name(server), f"drained; {n_left:,} connections cut off")
        self._machinery.stop(server, blame)

    def close_connections(self, server: int, n: int, reason: str = "") -> None:
        """A server sends `n` of its clients away, those of the lowest numbers (close code 1001 of RFC 6455)."""
        instance = self._instance(server)
        self.note("close connections", _name(server), reason or f"{n:,} of {instance.connections:,}")
        self._machinery.close_connections(server, n, self._blame("close_connections"))

    def set_ready(self, server: int, ready: bool, reason: str = "") -> None:
        """The balancer sends new connections to a server, or no more (`kubectl cordon`)."""
        self._instance(server)
        self.note("ready" if ready else "unready", _name(server), reason)
        self._machinery.set_ready(server, ready)

    def pause(self, server: int, duration: float | str, reason: str = "") -> None:
        """A server does nothing for a while, as for garbage collection, once its loops are done with their jobs."""
        self._instance(server)
        seconds = parse_duration(duration)
        self.note("pause", _name(server), reason or f"for {seconds:g} s")
        self._machinery.pause(server, int(to_ns(seconds)))

    def slow(self, server: int, factor: float, reason: str = "") -> None:
        """From now on a server takes `factor` times as long for everything, in thousandths; 1 is its own pace."""
        self._factor(factor)
        self._instance(server)
        self.note("slow", _name(server), reason or f"work takes {factor:g} times its cost")
        self._machinery.set_pace(server, round(factor * PERMILLE))

    # The broker.

    def partition(self, server: int, notice: str = "rst", reason: str = "") -> None:
        """A server and the broker cannot reach each other.

        Parameters
        ----------
        server : int
            Its number.
        notice : str
            Their connection is gone at once on both sides (`rst`), or it stays and takes nothing (`silent`).
        reason : str
            For the record.
        """
        self._notice(notice)
        self._needs_broker("partition")
        self._instance(server)
        done = self._machinery.partition(server, notice == "silent")
        why = reason or f"cut off from the broker, noticed by {notice}"
        self.note("partition", _name(server), why if done else "nothing done: it is cut off, or dead, already")

    def heal(self, server: int, reason: str = "") -> None:
        """A server and the broker can reach each other again."""
        self._needs_broker("heal")
        self._instance(server)
        done = self._machinery.heal(server)
        why = reason or "it can reach the broker again"
        self.note("heal", _name(server), why if done else "nothing done: it is not cut off, or dead")

    def stop_broker(self, reason: str = "") -> None:
        """The broker stops; what it was doing is lost."""
        self._needs_broker("stop_broker")
        done = self._machinery.stop_broker()
        self.note("stop", "broker", (reason or "all servers lose it") if done else "nothing done: it is down already")

    def start_broker(self, reason: str = "") -> None:
        """The broker runs again; servers connect anew."""
        self._needs_broker("start_broker")
        done = self._machinery.start_broker()
        wait = getattr(self.scenario.broker, "reconnect_delay", 0.0)
        why = reason or f"servers connect in {wait:g} s"
        self.note("start", "broker", why if done else "nothing done: it runs already")

    def slow_broker(self, factor: float, reason: str = "") -> None:
        """From now on the broker takes `factor` times as long for everything, in thousandths; 1 is its own pace."""
        self._factor(factor)
        self._needs_broker("slow_broker")
        self.note("slow", "broker", reason or f"work takes {factor:g} times its cost")
        self._machinery.set_broker_pace(round(factor * PERMILLE))

    # Clients.

    def drop_clients(self, cohort: str, share: float = 1.0, notice: str = "rst", reason: str = "") -> None:
        """A share of a cohort's clients lose their connections at once, as when their network fails."""
        names = [part.name for part in self.scenario.clients]
        if cohort not in names:
            raise ScenarioError(Problem("cohort", "must be a cohort", cohort, nearest(cohort, names)))
        self.note("drop clients", cohort, reason or f"{share:.0%} of them, noticed by {notice}")
        self._machinery.drop_clients(cohort, share, notice == "silent", self._blame("drop_clients"))

    def _notice(self, notice: str) -> None:
        if notice not in NOTICES:
            raise ScenarioError(Problem("notice", "must be one of rst, silent", notice, nearest(notice, NOTICES)))

    def _factor(self, factor: float) -> None:
        if not 0.001 <= parse_number(factor) <= 1_000:
            raise ScenarioError(Problem("factor", "must be from 0.001 to 1_000", factor, "use 1 for its own pace"))

    def _needs_broker(self, act: str) -> None:
        kind = self.scenario.broker.kind
        if kind == "none":
            raise ScenarioError(Problem("broker.kind", f"must not be none for {act}", kind, "set broker.kind"))

    def _instance(self, server: int) -> Instance:
        instances = self.observe().instances
        if not isinstance(server, int) or not 0 <= server < len(instances):
            step = f"servers are numbered 0 to {len(instances) - 1} so far"
            raise ScenarioError(Problem("server", "must be the number of a server", server, step))
        return instances[server]

    def _blame(self, kind: str) -> int:
        if self._disturbance is not None:
            return self._disturbance
        return self._recorder.disturbed(kind, self.env.now_ns)


def _name(server: int) -> str:
    return f"server {server}"
