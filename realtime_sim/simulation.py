"""Run a scenario: draw its workload, hand it to an engine, and read the trace."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from numbers import Integral

from realtime_sim.control import Control
from realtime_sim.engines import find_engine
from realtime_sim.engines.fast import is_steady
from realtime_sim.errors import Problem, ScenarioError, UnsupportedFeature, nearest
from realtime_sim.progress import progress_bar
from realtime_sim.recorder import LEVELS, MAX_FULL_ROWS
from realtime_sim.replications import Task, replicate
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.workload import audience

__all__ = ["check_counts", "engine_for", "expected_deliveries", "most_processes", "simulate"]

MAX_REPLICATIONS = 10_000

LARGEST = {
    "reference": {"clients": 200_000, "rooms": 1_000_000, "memberships": 20_000_000, "deliveries": 50_000_000},
    "fast": {"clients": 10_000_000, "rooms": 20_000_000, "memberships": 100_000_000, "deliveries": 10_000_000_000},
}
"""What one run may hold that an engine is made for: either takes half an hour, or a few gigabytes, for as much."""

MAX_WORK = 5_000_000
"""Most events times services of one run: the services are simulated by generators, which takes a minute or two."""

MAX_SAMPLES = 200_000
"""Most samples of the time series of one run; they take 400 MB."""

DELIVERIES_OF_A_STORM = 250
"""What a client that a fault cuts off counts for when an engine is chosen: in the worst storms each tries for long."""

MAX_SERVER_SAMPLES = 5_000_000
"""Most samples times servers, or client processes, over all replications; they take 800 MB."""


def simulate(
    scenario: Scenario,
    *,
    engine: str = "auto",
    replications: int = 1,
    n_jobs: int | None = None,
    record: str = "summary",
    control: Sequence[Control] = (),
    progress: Callable[[float], None] | None = None,
) -> Results:
    """Simulate a scenario.

    Parameters
    ----------
    scenario : Scenario
        What to run.
    engine : str
        `"auto"`, or the name of an engine.
    replications : int
        Independent runs, with the seeds `seed`, `seed + 1` and so on; with two and more, intervals are over them.
    n_jobs : int, optional
        Processes for the replications, -1 for all cores; the results are the same for any number. Left out, runs stay
        in this process as long as starting others, some three seconds, would cost more time than it saves by how long
        the last run took; then they take all cores, but together hold no more clients than one run may.
    record : str
        `"summary"` keeps histograms and time series, `"full"` also every delivery.
    control : sequence of callable
        Your own processes beside the faults of the scenario: generator functions ``def chaos(env, cluster)`` that wait
        by ``yield env.timeout("5s")`` and act by the methods of `realtime_sim.control.Cluster`. What they do is in
        `Results.decisions`.
    progress : callable, optional
        Called now and then with the share of all the work that is done, from 0 to 1; of other processes whole
        replications are known. Left out, a bar shows on a terminal or in a notebook from two seconds on.

    Returns
    -------
    Results
        Figures with intervals, frames and warnings.

    Raises
    ------
    ScenarioError
        If an argument is wrong, or the run is too large for `record="full"` or has too many samples.
    UnsupportedFeature
        If the engine cannot run the scenario, or not one so large; it names the field.

    Examples
    --------
    >>> scenario = Scenario(name="x", duration=10, clients=[{"name": "c", "count": 10}],
    ...                     servers={"profile": "zero"}, traffic=[{"name": "t", "rate": 5}])
    >>> results = simulate(scenario)
    >>> bool(results.deliveries.loc["total", "lost"] == 0)
    True

    An experiment of one's own: after two seconds the fullest server dies, and another is ordered.

    >>> def chaos(env, cluster):
    ...     yield env.timeout("2s")
    ...     fullest = max(cluster.observe().alive, key=lambda server: server.connections)
    ...     yield cluster.restart(fullest.number)
    ...     cluster.note("done", "", f"after {env.now:g} s")
    >>> case = scenario.replace(**{"servers.count": 2, "servers.startup": "3s"})
    >>> simulate(case, control=[chaos]).decisions["reason"].tolist()[-1]
    'after 5 s'
    """
    if not isinstance(scenario, Scenario):
        step = "make one with Scenario(...) or Scenario.from_yaml(...)"
        raise ScenarioError(Problem("scenario", "must be a Scenario", type(scenario).__name__, step))
    check_counts(replications, n_jobs)
    _check_control(control)
    chosen, reason, run = engine_for(scenario, engine, replications, record=record, controlled=bool(control))
    bar = progress_bar(f"Simulating {scenario.name}", replications * scenario.duration, silent=replications > 1)
    with nullcontext(progress) if progress else bar as report:
        task = Task(scenario, chosen, run, record, replications, tuple(control))
        return Results(replicate(task, n_jobs, most_processes(scenario, chosen), report), reason)


def check_counts(replications: object, n_jobs: object) -> None:
    """Refuse what is no number of replications, or of processes.

    Raises
    ------
    ScenarioError
        If one of them is wrong.
    """
    if (
        isinstance(replications, bool)
        or not isinstance(replications, Integral)
        or not 1 <= replications <= MAX_REPLICATIONS
    ):
        rule = f"must be a whole number from 1 to {MAX_REPLICATIONS:_}"
        raise ScenarioError(Problem("replications", rule, replications, "use 1, or 5 and more for intervals"))
    if n_jobs is not None and (
        isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral) or n_jobs < -1 or n_jobs == 0
    ):
        rule = "must be a whole number of processes from 1, or -1 for all cores"
        raise ScenarioError(Problem("n_jobs", rule, n_jobs, "use 1 to stay in this process"))


def engine_for(
    scenario: Scenario,
    engine: str = "auto",
    replications: int = 1,
    *,
    beside: int = 1,
    record: str = "summary",
    controlled: bool = False,
) -> tuple[str, str, Callable]:
    """Name, reason and `run` function of the engine that `simulate` takes; what it would refuse is refused here.

    Parameters
    ----------
    scenario : Scenario
        What to run.
    engine : str
        `"auto"`, or the name of an engine.
    replications : int
        Runs whose traces are kept together.
    beside : int
        How many scenarios like this one are run, as in a sweep: compiling an engine is done once for all of them.
    record : str
        Level of recording.
    controlled : bool
        Whether control processes of a user act in it.

    Raises
    ------
    ScenarioError
        If an argument is wrong, or the run is too large for `record="full"` or has too many samples.
    UnsupportedFeature
        If the engine cannot run the scenario, or not one so large.
    """
    if record not in LEVELS:
        raise ScenarioError(Problem("record", "must be a level of recording", record, nearest(str(record), LEVELS)))
    _check_samples(scenario, replications)
    n = expected_deliveries(scenario)
    steady = not controlled and is_steady(scenario, record)
    shared = scenario.host is not None
    work = n + DELIVERIES_OF_A_STORM * _cut_off(scenario)
    found = find_engine(engine, work * replications * beside, scenario.n_clients, steady, shared)
    _check_size(scenario, found[0], n)
    if record == "full" and n > MAX_FULL_ROWS:
        rule = f"must be 'summary' above {MAX_FULL_ROWS:_} deliveries (this run: about {n:_.0f})"
        raise ScenarioError(Problem("record", rule, record, "use record='summary', or a shorter run"))
    return found


def most_processes(scenario: Scenario, engine: str) -> int:
    """Most processes that may run a scenario at a time unasked: together they hold no more clients than one run may."""
    return max(1, LARGEST[engine]["clients"] // scenario.n_clients)


def _check_control(control: Sequence[Control]) -> None:
    step = "pass a list: control=[chaos], with a generator function def chaos(env, cluster)"
    if not isinstance(control, Sequence):
        raise ScenarioError(Problem("control", "must be a list of processes", type(control).__name__, step))
    for i, process in enumerate(control):
        if not inspect.isgeneratorfunction(process):
            rule = "must be a generator function, with at least one yield"
            raise ScenarioError(Problem(f"control[{i}]", rule, getattr(process, "__name__", process), step))
        try:
            inspect.signature(process).bind("env", "cluster")
        except TypeError:
            rule = "must take two arguments, the environment and the cluster"
            raise ScenarioError(Problem(f"control[{i}]", rule, str(inspect.signature(process)), step)) from None


def _check_size(scenario: Scenario, engine: str, n_deliveries: float) -> None:
    """Refuse at once what would take hours, or more memory than there is."""
    step = "scale the scenario down as examples/million_scaled.yaml does, or ask `limits`"

    def check(field: str, what: str, n: float) -> None:
        if n > (most := LARGEST[engine][what]):
            found = f"{field} (more than {most:_} {'of them' if what == field else what}: {n:_.0f})"
            raise UnsupportedFeature(found, engine, step)

    check("clients", "clients", scenario.n_clients)
    counts = {cohort.name: cohort.count for cohort in scenario.clients}
    personal = [counts.get(group.cohort, scenario.n_clients) for group in scenario.rooms if group.per_user]
    shared = [group for group in scenario.rooms if not group.per_user]
    check("rooms", "rooms", sum(personal) + sum(group.count for group in shared))
    check("rooms", "memberships", sum(personal) + sum(group.count * group.members for group in shared))
    check("traffic", "deliveries", n_deliveries)
    if (work := _service_work(scenario)) > MAX_WORK:
        found = f"events (more than {MAX_WORK:_} for all services together: {work:_.0f})"
        raise UnsupportedFeature(found, engine, step)


def _service_work(scenario: Scenario) -> float:
    """Events that services are about to get, each counted once for every service."""
    total = 0.0
    for event in scenario.events:
        n_services = sum(service.consumes == event.name for service in scenario.services)
        stop = min(event.stop or scenario.duration, scenario.duration)
        total += event.rate * (stop - event.start) * n_services
    return total


def _cut_off(scenario: Scenario) -> float:
    """Clients whom the scenario's faults are about to cut off, over all of them."""
    counts, n = {cohort.name: cohort.count for cohort in scenario.clients}, 0.0
    for fault in scenario.faults:
        if fault.kind == "drop_clients":
            n += fault.share * counts[fault.cohort]
        elif fault.kind == "kill_server":
            n += scenario.n_clients * min(1.0, fault.count / scenario.servers.count)
    return n


def _check_samples(scenario: Scenario, replications: int) -> None:
    samples = (scenario.duration + scenario.drain) / scenario.sample_interval
    n_processes = 0 if scenario.host is None else scenario.host.client_processes
    step = "lengthen it, or shorten duration, drain or the number of replications"
    for what, n, most in (
        ("samples", samples, MAX_SAMPLES),
        ("samples times servers", replications * samples * scenario.servers.count, MAX_SERVER_SAMPLES),
        ("samples times client processes", replications * samples * n_processes, MAX_SERVER_SAMPLES),
    ):
        if n > most:
            rule = f"must give at most {most:_} {what} (here: {n:_.0f})"
            raise ScenarioError(Problem("sample_interval", rule, scenario.sample_interval, step))


def expected_deliveries(scenario: Scenario) -> float:
    """Deliveries a run of the scenario is about to make: publishes times mean members, everyone connected.

    Examples
    --------
    >>> expected_deliveries(Scenario(name="x", duration=10, clients=[{"name": "c", "count": 100}],
    ...                              traffic=[{"name": "t", "rate": 5}]))
    5000.0
    """
    total = 0.0
    for stream in scenario.traffic:
        rate, start_s, stop_s = scenario.flow(stream)
        total += rate * (stop_s - start_s) * float(audience(scenario, stream)[-1].sum())
    return total
