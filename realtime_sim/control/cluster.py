"""The Cluster: what a control process may do to a system. Every act is written down with its reason."""

from __future__ import annotations

from collections.abc import Generator

import simpy

from realtime_sim.control import arguments
from realtime_sim.control.environment import Environment, Process
from realtime_sim.control.machinery import Instance, Machinery, Observation
from realtime_sim.control.standing import Standing
from realtime_sim.errors import Problem, ScenarioError, nearest
from realtime_sim.recorder import Recorder
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.quantities import MAX_COUNT
from realtime_sim.trace import BROKER, OWN_PACE, Decision
from realtime_sim.units import to_ns

__all__ = ["Cluster"]

DRAIN_STEP_NS = 100_000_000
"""A drain closes connections ten times a second."""

MAX_INSTANCES = 10_000
"""Most servers one run may hold, as many as it may begin with."""


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
        Number that all of its acts are counted under; left out, each that cuts connections, or the broker off, has its
        own.
    standing : Standing, optional
        What is under way and in force, whoever began it; one for all processes of a run.
    """

    def __init__(
        self,
        actor: str,
        env: Environment,
        machinery: Machinery,
        scenario: Scenario,
        recorder: Recorder,
        disturbance: int | None = None,
        standing: Standing | None = None,
    ) -> None:
        self.actor, self.env, self.scenario = actor, env, scenario
        self._machinery, self._recorder, self._disturbance = machinery, recorder, disturbance
        self.standing = standing or Standing()

    @property
    def is_fault(self) -> bool:
        """Whether it is the process of a fault of the scenario."""
        return self._disturbance is not None

    def observe(self) -> Observation:
        """What there is to see now."""
        return self._machinery.observe()

    def note(self, action: str, target: str, reason: str) -> None:
        """Write a decision down, also one to do nothing."""
        self._recorder.decided(Decision(self.env.now_ns, self.actor, str(action), str(target), str(reason)))

    # Servers.

    def kill(self, server: int, notice: str = "rst", reason: str = "", replaced: bool = False) -> bool:
        """A server dies at once. Where the scenario has `autoscaling`, another is ordered in its place.

        Returns whether it was alive.

        Parameters
        ----------
        server : int
            Its number.
        notice : str
            Clients see a reset (`rst`), or nothing until their keepalive fails (`silent`).
        reason : str
            For the record.
        replaced : bool
            You order the other server yourself, by `add_server`.
        """
        arguments.notice(notice, self.scenario)
        arguments.flag("replaced", replaced)
        instance = self._instance(server)
        if not self._lives(instance, "kill"):
            return False
        why = reason or f"with {instance.connections:,} connections, noticed by {notice}"
        self.note("kill", _name(instance.number), why)
        self._machinery.kill(instance.number, notice == "silent", self._blame("kill_server"))
        if replaced:
            self.standing.promised[self] += 1
        self._is_missing(f"{_name(instance.number)} has died")
        return True

    def _is_missing(self, reason: str) -> None:
        if self.standing.missing is not None:
            self.standing.missing(reason)

    def add_server(self, startup: float | str | None = None, reason: str = "") -> Process:
        """Order one more server. `yield` it to wait until it is ready and get its number; `interrupt()` cancels it.

        Parameters
        ----------
        startup : float or str, optional
            Time until it is ready, seconds; `servers.startup` if left out.
        reason : str
            For the record.
        """
        wait_s = self.scenario.servers.startup if startup is None else arguments.duration_s("startup", startup)
        order = object()
        self.standing.orders[order] = self.env.now
        self.standing.promised[self] = max(0, self.standing.promised[self] - 1)
        return self.env.process(self._add_server(order, wait_s, reason))

    def _add_server(self, order: object, wait_s: float, reason: str) -> Generator:
        self.note("order server", "", reason or f"ready in {wait_s:g} s")
        # Not in a `finally`: who waits beyond the end of the run waits for ever, and may be swept up before.
        try:
            yield self.env.timeout(wait_s)
        except simpy.Interrupt:
            del self.standing.orders[order]
            self.note("cancel order", "", "not needed any more")
            return None
        ordered_s = self.standing.orders.pop(order)
        n_servers = len(self._recorder.servers["started_ns"])
        if n_servers >= MAX_INSTANCES:
            rule = f"must be at most {MAX_INSTANCES:_} in one run, those that have died included"
            raise ScenarioError(Problem("servers", rule, n_servers + 1, "start fewer, or run for a shorter time"))
        number = self._machinery.start_server()
        self.standing.ordered_s[number] = ordered_s
        self.note("start server", _name(number), "ready for connections")
        return number

    def restart(self, server: int, notice: str = "rst", reason: str = "") -> Process:
        """Kill a server and order another in its place. `yield` it to wait until that is ready and get its number.

        Nothing is ordered for a server that was dead already; the number is None then.
        """
        if self.kill(server, notice, reason, replaced=True):
            return self.add_server(reason=f"in the place of {_name(server)}")
        return self.env.process(_nothing())

    def drain(
        self, server: int, over: float | str | None = None, rate: float | None = None, reason: str = ""
    ) -> Process:
        """Take a server out of service: no new connections, those it has closed step by step, then it stops.

        Where the scenario has `autoscaling`, another is ordered in its place. A server that is on its way out already
        goes as it does.

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
        Process
            `yield` it to wait until the server has stopped. `interrupt()` breaks it off: the server keeps the clients
            that are left and gets no new ones, until `set_ready` says otherwise.
        """
        instance = self._instance(server)
        if over is not None and rate is not None:
            raise ScenarioError(Problem("rate", "must be left out where over is given", rate, "give one of them"))
        over_s = self.scenario.servers.grace if over is None else arguments.duration_s("over", over)
        if rate is not None:
            over_s = instance.connections / arguments.rate_per_s("rate", rate)
        if not self._lives(instance, "drain"):
            return self.env.process(_nothing())
        drains, number = self.standing.drains, instance.number
        if number in drains:
            self.note("drain", _name(number), "nothing done: it is being drained")
        else:
            drains[number] = self.env.process(self._drain(instance, over_s, reason))
            self._is_missing(f"{_name(number)} is on its way out")
        return drains[number]

    def _drain(self, instance: Instance, over_s: float, reason: str) -> Generator:
        server, blame = instance.number, self._blame("drain_server")
        self.note("drain", _name(server), reason or f"{instance.connections:,} connections in {over_s:g} s")
        self._set_ready(server, False)
        try:
            yield from self._close_all(instance, int(to_ns(over_s)), blame)
        except simpy.Interrupt:
            del self.standing.drains[server]
            left = self._instance(server).connections
            self.note("cancel drain", _name(server), f"it keeps {left:,} connections, and gets no new ones")
            return
        del self.standing.drains[server]
        now = self._instance(server)
        if self._lives(now, "stop"):
            self.note("stop", _name(server), f"drained; {now.connections:,} connections cut off")
            self._machinery.stop(server, blame)

    def _close_all(self, instance: Instance, over_ns: int, blame: int) -> Generator:
        """Close the connections that a server has now, evenly over a time."""
        server, begun_ns, n_closed = instance.number, self.env.now_ns, 0
        while self._machinery.close_connections(server, 0, blame) > 0 and self.env.now_ns < begun_ns + over_ns:
            yield self.env.at_ns(min(self.env.now_ns + DRAIN_STEP_NS, begun_ns + over_ns))
            n_due = instance.connections * (self.env.now_ns - begun_ns) // over_ns - n_closed
            n_closed += n_due
            self._machinery.close_connections(server, n_due, blame)

    def close_connections(self, server: int, n: int, reason: str = "") -> None:
        """A server sends `n` of its clients away, those of the lowest numbers (close code 1001 of RFC 6455)."""
        instance = self._instance(server)
        n = arguments.count("n", n, MAX_COUNT, "must be a whole number of connections", "use 0 or more")
        if self._lives(instance, "close connections"):
            why = reason or f"{n:,} of {instance.connections:,}"
            self.note("close connections", _name(instance.number), why)
            self._machinery.close_connections(instance.number, n, self._blame("close_connections"))

    def set_ready(self, server: int, ready: bool, reason: str = "") -> None:
        """The balancer sends new connections to a server, or no more (`kubectl cordon`)."""
        instance, act = self._instance(server), "ready" if arguments.flag("ready", ready) else "unready"
        if self._lives(instance, act):
            self.note(act, _name(instance.number), reason)
            self._set_ready(instance.number, ready)

    def _set_ready(self, server: int, ready: bool) -> None:
        self.standing.ready_changed_s[server] = self.env.now
        self._machinery.set_ready(server, ready)

    def pause(self, server: int, duration: float | str, reason: str = "") -> None:
        """A server does nothing for a while, as for garbage collection, once its loops are done with their jobs."""
        instance, seconds = self._instance(server), arguments.duration_s("duration", duration)
        if self._lives(instance, "pause"):
            self.note("pause", _name(instance.number), reason or f"for {seconds:g} s")
            self._recorder.paused(instance.number, self.env.now_ns, int(to_ns(seconds)))
            self._machinery.pause(instance.number, int(to_ns(seconds)))

    def slow(self, server: int, factor: float, reason: str = "") -> None:
        """From now on a server takes `factor` times as long for everything, in thousandths; 1 is its own pace.

        What others slow it by at that time is multiplied with it, up to 1,000 times.
        """
        times, instance = arguments.factor(factor), self._instance(server)
        if self._lives(instance, "slow"):
            permille = self._paced("server", instance.number, times=times)
            self.note("slow", _name(instance.number), reason or _how_slow(permille))
            self._recorder.paced(instance.number, self.env.now_ns, permille)
            self._machinery.set_pace(instance.number, permille)

    def _paced(self, *whom: object, times: float) -> int:
        """The pace of a server or the broker with this process's own factor, in thousandths."""
        thing = ("pace", *whom)
        if times == 1:
            self.standing.let_go(thing, self)
        else:
            self.standing.hold(thing, self, times)
        return self.standing.pace(thing)

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
        arguments.notice(notice)
        self._needs_broker("partition")
        server = self._instance(server).number
        self.standing.hold(("partition", server), self)
        done = self._machinery.partition(server, notice == "silent")
        if done:
            self._blame("partition")
        why = reason or f"cut off from the broker, noticed by {notice}"
        self.note("partition", _name(server), why if done else "nothing done: it is cut off, or dead, already")

    def heal(self, server: int, reason: str = "") -> None:
        """A server and the broker can reach each other again, unless another process has cut them off as well."""
        self._needs_broker("heal")
        server = self._instance(server).number
        others = self.standing.let_go(("partition", server), self)
        if others:
            self.note("heal", _name(server), f"nothing done: it is cut off for {others}")
            return
        done = self._machinery.heal(server)
        why = reason or "it can reach the broker again"
        self.note("heal", _name(server), why if done else "nothing done: it is not cut off, or dead")

    def stop_broker(self, reason: str = "") -> None:
        """The broker stops; what it was doing is lost."""
        self._needs_broker("stop_broker")
        self.standing.hold("broker", self)
        done = self._machinery.stop_broker()
        if done:
            self._blame("stop_broker")
        self.note("stop", "broker", (reason or "all servers lose it") if done else "nothing done: it is down already")

    def start_broker(self, reason: str = "") -> None:
        """The broker runs again, unless another process has stopped it as well; servers connect anew."""
        self._needs_broker("start_broker")
        others = self.standing.let_go("broker", self)
        if others:
            self.note("start", "broker", f"nothing done: it is down for {others}")
            return
        done = self._machinery.start_broker()
        wait = getattr(self.scenario.broker, "reconnect_delay", 0.0)
        why = reason or f"servers connect in {wait:g} s"
        self.note("start", "broker", why if done else "nothing done: it runs already")

    def slow_broker(self, factor: float, reason: str = "") -> None:
        """From now on the broker takes `factor` times as long for everything, in thousandths; 1 is its own pace.

        What others slow it by at that time is multiplied with it, up to 1,000 times.
        """
        times = arguments.factor(factor)
        self._needs_broker("slow_broker")
        permille = self._paced("broker", times=times)
        self.note("slow", "broker", reason or _how_slow(permille))
        self._recorder.paced(BROKER, self.env.now_ns, permille)
        self._machinery.set_broker_pace(permille)

    # Clients.

    def drop_clients(self, cohort: str, share: float = 1.0, notice: str = "rst", reason: str = "") -> None:
        """A share of a cohort's clients lose their connections at once, as when their network fails."""
        names = [part.name for part in self.scenario.clients]
        if cohort not in names:
            raise ScenarioError(Problem("cohort", "must be a cohort", cohort, nearest(str(cohort), names)))
        share = arguments.share(share)
        arguments.notice(notice, self.scenario)
        self.note("drop clients", cohort, reason or f"{share:.0%} of them, noticed by {notice}")
        self._machinery.drop_clients(cohort, share, notice == "silent", self._blame("drop_clients"))

    def _needs_broker(self, act: str) -> None:
        kind = self.scenario.broker.kind
        if kind == "none":
            raise ScenarioError(Problem("broker.kind", f"must not be none for {act}", kind, "set broker.kind"))

    def _instance(self, server: int) -> Instance:
        instances = self.observe().instances
        last = len(instances) - 1
        step = f"servers are numbered 0 to {last} so far"
        return instances[arguments.count("server", server, last, "must be the number of a server", step)]

    def _lives(self, instance: Instance, act: str) -> bool:
        """Whether a server is alive; that nothing is done to a dead one is written down."""
        if not instance.alive:
            self.note(act, _name(instance.number), "nothing done: it is dead already")
        return instance.alive

    def _blame(self, kind: str) -> int:
        if self._disturbance is not None:
            return self._disturbance
        return self._recorder.disturbed(kind, self.env.now_ns)


def _nothing() -> Generator:
    """A process that ends at once."""
    return
    yield


def _how_slow(permille: int) -> str:
    return "back to its own pace" if permille == OWN_PACE else f"work takes {permille / OWN_PACE:g} times its cost"


def _name(server: int) -> str:
    return f"server {server}"
