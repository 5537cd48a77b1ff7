"""Notes: what a scenario says and Kubernetes cannot, field by field. Nothing is dropped in silence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from realtime_sim.deployment.alerts import BUSY_RATIO, measured
from realtime_sim.deployment.figures import Deployed, Figures, promise
from realtime_sim.deployment.pods import FAILURES, pods_a_node, readiness_s
from realtime_sim.deployment.scaling import sends_per_s
from realtime_sim.deployment.storms import watch_of
from realtime_sim.latency import QUANTILES
from realtime_sim.limits.servers import server_limits
from realtime_sim.limits.table import number, plural
from realtime_sim.metrics import METRICS, OF_CLIENTS
from realtime_sim.policies.autoscaling import HorizontalPodAutoscaler
from realtime_sim.proxies import CHECK_ANSWER_S
from realtime_sim.scenario import Scenario
from realtime_sim.units import format_bandwidth, format_duration, format_rate

__all__ = ["notes_of", "shortfall"]


def notes_of(deployed: Deployed, short: str = "") -> tuple[str, ...]:
    """One sentence or two for each field that is left to the image, the cluster or a proxy; the field comes first.

    `short` is what `shortfall` says.
    """
    scenario, figures = deployed.scenario, deployed.figures
    parts = (
        _of_count(scenario, figures, short),
        _of_servers(scenario, figures),
        _of_limits(scenario),
        _of_balancer(scenario),
        _of_clients(scenario),
    )
    later = (
        _of_scaling(scenario, figures),
        _of_deploys(scenario, figures),
        _of_nodes(deployed),
        _of_the_rest(scenario),
        _of_monitoring(scenario),
    )
    return tuple(note for part in (*parts, *later) for note in part)


def shortfall(scenario: Scenario, figures: Figures, planned: bool = False) -> str:
    """What static limits say against the servers there are, as one sentence; nothing where they are met.

    Parameters
    ----------
    scenario : Scenario
        What is deployed.
    figures : Figures
        Its figures: an autoscaler on connections decides how many servers there are.
    planned : bool
        Whether `plan` has found that they are enough. It knows better how busy loops may be, so that only what they
        could not do at all is told.
    """
    busy = promise(scenario, "max_utilization") or (1.0 if planned else BUSY_RATIO)
    found = server_limits(scenario.replace(**{"servers.count": figures.full_pods}), busy)
    if found.lost < found.given and not found.exceeded:
        return ""
    verdict = found.verdict.removeprefix("Your ").removesuffix(".")
    if found.needed is None or found.needed <= found.given:
        return f"{verdict}; more of them do not help, so ask `limits` what does"
    if scenario.autoscaling is not None:
        return f"{verdict}; it takes {found.needed:,}, so change autoscaling, or ask `plan`"
    return f"{verdict}; use --servers {found.needed}, or ask `plan`"


def _of_count(scenario: Scenario, figures: Figures, short: str) -> Iterator[str]:
    limit, said = scenario.servers.connection_limit, []
    room = None if limit is None else limit * figures.most_pods
    if room is not None and room < figures.clients:
        said.append(
            f"{plural(figures.most_pods, 'pod')}, the most there may be, admit {room:,} of {figures.clients:,} clients."
        )
    said += [f"{short}."] if short else []
    if said:
        yield f"servers.count: {' '.join(said)}"


def _of_servers(scenario: Scenario, figures: Figures) -> Iterator[str]:
    servers = scenario.servers
    changed = servers.costs.model_dump(exclude_none=True)
    costs = f", servers.costs changed for {', '.join(changed)} ({servers.resolved_costs})" if changed else ""
    yield (
        f"servers.profile ({servers.profile}), servers.stack ({servers.stack}), servers.fanout ({servers.fanout})"
        f"{costs}: what the image must be like for the answer to hold. Measure it with `realtime-sim calibrate`."
    )
    loops = plural(servers.workers, "event loop")
    yield f"servers.workers: the image starts {loops}; the CPU request only keeps as many cores for them."
    yield (
        f"servers.grace: Kubernetes only waits. On SIGTERM the server must take no more clients, answer /healthz with "
        f"503, and send its own away (close code 1001) evenly over {figures.drain.value} s ({figures.drain.why})."
    )
    if servers.connection_age is not None:
        mean = format_duration(round(servers.connection_age.mean_s, 3))
        spread = servers.connection_age.model_dump(exclude_defaults=True)
        yield f"servers.connection_age: the server itself closes connections of that age, {mean} on average ({spread})."


def _of_limits(scenario: Scenario) -> Iterator[str]:
    servers = scenario.servers
    if servers.max_connections is not None:
        yield (
            f"servers.max_connections: Kubernetes counts none. The server must refuse more than "
            f"{servers.max_connections:,}, and needs as many file descriptors and some hundred more (ulimit -n of the "
            "container runtime)."
        )
    if servers.egress is not None:
        yield (
            f"servers.egress: {format_bandwidth(servers.egress)} for each pod is what the nodes' links must give; the "
            "scheduler does not count it."
        )
    if servers.memory is None:
        yield "servers.memory: not set, so pods have no limit, and the request is the profile's figure. Set it."
    yield (
        f"servers.backlog: {servers.backlog:,} is for the server to ask for (listen), and the node's "
        "net.core.somaxconn (4,096 since Linux 5.4) must allow it; in a pod that is an unsafe sysctl."
    )
    gate = servers.admission
    if gate.rate is not None or gate.concurrency is not None:
        rate = "" if gate.rate is None else f" {format_rate(gate.rate)} with bursts of {gate.burst:,}"
        at_once = "" if gate.concurrency is None else f" {gate.concurrency:,} at a time"
        both = " and" if rate and at_once else ""
        yield (
            f"servers.admission: the server itself must let in no more handshakes than{rate}{both}{at_once}, and ask "
            f"the others to wait for {format_duration(gate.retry_after)} (429, Retry-After)."
        )


def _of_balancer(scenario: Scenario) -> Iterator[str]:
    balancer = scenario.balancer
    yield (
        f"balancer.policy: a Service knows none and picks a pod by chance for each connection; {balancer.policy} needs "
        "a proxy in front of the pods, which looks them up in the Service without an address (haproxy.cfg, nginx.conf)."
    )
    if balancer.affinity == "cookie":
        yield (
            "balancer.affinity: a Service tells clients by their address, so that those behind one NAT or one proxy go "
            "to one pod; with a proxy in front the cookie is the proxy's, and sessionAffinity must be None."
        )
    slowest_s = FAILURES * readiness_s(scenario) + CHECK_ANSWER_S
    yield (
        f"balancer.detection: {format_duration(balancer.detection)} in the scenario; here a pod that is alive and does "
        f"not answer is passed over after {slowest_s:g} s at most, and one whose node dies after 40 to 50 s "
        "(node-monitor-grace-period) unless a proxy checks it."
    )


def _of_clients(scenario: Scenario) -> Iterator[str]:
    for cohort in scenario.clients:
        place, pings = f"clients.{cohort.name}", cohort.keepalive
        if pings is None:
            yield f"{place}.keepalive: no pings, so that nobody can tell a dead connection from an idle one. Set them."
        else:
            yield (
                f"{place}.keepalive: the server or its library must be set to pings every "
                f"{format_duration(pings.interval)} and a timeout of {format_duration(pings.timeout)}."
            )
        idle_s = cohort.network.idle_timeout
        if idle_s is not None:
            yield (
                f"{place}.network.idle_timeout: {format_duration(idle_s)} is for the balancers in front of the cluster "
                "(of a cloud: an annotation of its own); a Service drops nothing."
            )


def _of_scaling(scenario: Scenario, figures: Figures) -> Iterator[str]:
    names = [METRICS["active_connections"].name]
    scaling, usual = scenario.autoscaling, HorizontalPodAutoscaler
    if scaling is not None:
        if any(metric.name == "messages_per_s" for metric in scaling.metrics):
            names.append(f"{sends_per_s()} (the rate of {METRICS['sends'].name})")
        if scaling.tolerance != usual.__dataclass_fields__["tolerance"].default:
            yield (
                f"autoscaling.tolerance: {scaling.tolerance:g} is a flag of the whole cluster "
                "(--horizontal-pod-autoscaler-tolerance), or behavior.scaleUp.tolerance where the cluster has it."
            )
        if scaling.sync_period != usual.__dataclass_fields__["sync_period_s"].default:
            yield (
                f"autoscaling.sync_period: {format_duration(scaling.sync_period)} is a flag of the whole cluster "
                "(--horizontal-pod-autoscaler-sync-period)."
            )
        room = scaling.max_replicas * figures.each.value
        if room < figures.clients:
            yield (
                f"autoscaling.max_replicas: {scaling.max_replicas:,} pods of {number(figures.each.value)} connections "
                f"hold {room:,} of {figures.clients:,} clients at the target."
            )
    yield (
        f"autoscaling: {' and '.join(names)} must be served as metrics of pods (custom.metrics.k8s.io), by "
        "prometheus-adapter or the like; until then the autoscaler does nothing. It sees the mean alone: connections "
        "stay where they are, and new pods fill up by new clients only."
    )


def _of_deploys(scenario: Scenario, figures: Figures) -> Iterator[str]:
    yield (
        f"servers.startup: the answer counts on {format_duration(scenario.servers.startup)}; Kubernetes grants "
        "more, and makes nothing start faster."
    )
    if figures.rolling.budget is not None:
        yield (
            f"faults.rolling_deploy.budget: servers must close no more than {format_rate(figures.rolling.budget)} over "
            "all pods that go at a time; minReadySeconds holds the next one back for as long as a drain takes."
        )
    planned, most = figures.planned_per_s, figures.all_accept_per_s
    if most is not None and planned.value > most:
        yield (
            f"faults.rolling_deploy: {number(planned.value)} reconnections/s, {planned.why}, and all pods together "
            f"accept {number(most)}/s; Kubernetes does not wait for drains. Give the rolling_deploy a budget."
        )
    watch, window_s = watch_of(scenario, figures), figures.window.value
    if watch.deploy_is_storm:
        yield (
            f"alerts.yaml: RealtimeReconnectStorm fires on a deploy, which brings back {number(watch.deploy_clients)} "
            f"clients in {window_s} s ({figures.rolling_why}). With a rolling_deploy whose budget is below "
            f"{number(watch.quiet_clients / window_s)}/s it does not."
        )


def _of_nodes(deployed: Deployed) -> Iterator[str]:
    """What dies together."""
    most, figures = pods_a_node(deployed), deployed.figures
    if most is None:
        return
    begin, end = (math.ceil((n + figures.rolling.surge) / most) for n in (figures.pods, figures.most_pods))
    yield (
        f"slo.survive_servers: it counts pods, neither nodes nor zones. So that a node takes no more than "
        f"{plural(most, 'pod')} with it, topologySpreadConstraints over kubernetes.io/hostname have DoNotSchedule and "
        f"maxSkew {most:,}. It takes {plural(begin, 'node')} with room, {end:,} for the most pods there may be, with "
        "deploys; on fewer of them pods stay Pending and deploys stand still. With ScheduleAnyway they start, and a "
        "node that dies may break the promise. A zone takes its share with it: to survive one of three, promise "
        f"{math.ceil(figures.pods / 3):,}, plan again, and set DoNotSchedule over topology.kubernetes.io/zone, too."
    )


def _of_the_rest(scenario: Scenario) -> Iterator[str]:
    if scenario.broker.kind != "none":
        said = ", ".join(f"{field} {value}" for field, value in scenario.to_plain()["broker"].items())
        yield f"broker: {said}; it is not part of these manifests, and has to run before the pods do."
    elif scenario.servers.count > 1:
        yield "broker: none, so a message reaches the clients of one pod only."
    if scenario.services or scenario.events:
        names = ", ".join(service.name for service in scenario.services) or "none"
        yield f"services: {names}, and the {scenario.pipeline.coupling} before them, are not part of these manifests."
    if scenario.host is not None:
        yield "host: the scenario has one machine for everything; on the nodes of a cluster the answer is another one."
    lost = promise(scenario, "max_lost_ratio")
    if lost is not None:
        yield (
            f"slo.max_lost_ratio: {lost:g} is in no rule; what never arrives is seen by whoever numbers messages and "
            "looks for gaps."
        )
    if promise(scenario, "survive_deploy"):
        yield "slo.survive_deploy: promised for the strategy and the drain in deployment.yaml; for others ask anew."


def _of_monitoring(scenario: Scenario) -> Iterator[str]:
    def named(keys: Iterable[str]) -> str:
        *most, last = (f"{METRICS[key].name} ({METRICS[key].kind})" for key in keys)
        return f"{', '.join(most)} and {last}"

    yield (
        f"monitoring: every server exports {named(key for key in measured(scenario) if key not in OF_CLIENTS)} at "
        "/metrics, and Prometheus scrapes every pod (a PodMonitor, which adds `namespace` and `pod`). Attempts that a "
        "full accept queue drops, or that a proxy answers itself, are counted by nobody here."
    )
    latency, promised = METRICS["delivery_latency"], [name for name in QUANTILES if promise(scenario, name)]
    silent = "".join(f" Without it RealtimeDeliveryLatency{name.capitalize()} never fires." for name in promised)
    ends = " and ".join(f"{promise(scenario, name):g}" for name in promised)
    buckets = f", with a bucket that ends at {ends} s" if promised else ""
    yield (
        f"monitoring.clients: no server knows {named(OF_CLIENTS)}, and RealtimeNotMeasured does not ask for them: the "
        f"application exports them itself, from what clients report or probes find. {latency.name} is the time from "
        f"publishing to receipt in {latency.unit}{buckets}.{silent}"
    )
