"""Pods: the Deployment, the Services in front of it, and the budget for disruptions.

References
----------
Kubernetes documentation: "Deployments", "Configure Liveness, Readiness and Startup Probes", "Container Lifecycle
Hooks", "Pod Topology Spread Constraints", "Service", "Specifying a Disruption Budget for your Application".
"""

from __future__ import annotations

import math

from realtime_sim.deployment.figures import Deployed, Figures, bearable, promise
from realtime_sim.deployment.reasons import Because
from realtime_sim.limits.table import number, plural
from realtime_sim.proxies import CHECK_ANSWER_S
from realtime_sim.scenario import Scenario

__all__ = ["budget", "deployment", "pods_a_node", "readiness_s", "services"]

FAILURES = 2
"""Checks in a row that must fail until a pod gets no new connections, a choice: one may meet a busy loop."""

LIVENESS_S = 10
"""Time between two checks that a pod is alive, a choice (the default of Kubernetes): a restart cuts everybody off, so
it is the last resort, long after the pod has stopped getting new connections."""

PATIENT_START = 3
"""Times `servers.startup` that a pod has to start, a choice: pulling an image on a new node takes longer."""

PROGRESS_S = 600
"""Time that Kubernetes grants a deploy to get one pod further, unless told otherwise."""

STICKY_S = 10_800
"""Time for which a Service remembers a client: the default of Kubernetes, 3 h."""


def deployment(deployed: Deployed) -> dict[str, object]:
    """The Deployment, values with reasons."""
    figures, target = deployed.figures, deployed.target
    rolling, why = figures.rolling, figures.rolling_why
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": target.metadata(),
        "spec": {
            "replicas": Because(
                figures.pods,
                "servers.count. Once the autoscaler is at work leave this line out when you apply the file again, or "
                "it puts the number back.",
            ),
            **_pace(figures),
            "selector": {"matchLabels": target.labels},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {
                    "maxSurge": Because(rolling.surge, f"surge: {why}"),
                    "maxUnavailable": Because(rolling.max_unavailable, f"max_unavailable: {why}"),
                },
            },
            "template": {"metadata": {"labels": target.labels}, "spec": _pod(deployed)},
        },
    }


def _pace(figures: Figures) -> dict[str, object]:
    """How long a new pod must have been ready before the next old one goes: without a budget not at all."""
    if figures.rolling.budget is None:
        return {}
    why = f"the next pod goes when the drain of the one before is over, for the budget of {figures.rolling_why}"
    patience = f"minReadySeconds and {PROGRESS_S} s, which Kubernetes grants unless told otherwise"
    return {
        "minReadySeconds": Because(figures.drain.value, why),
        "progressDeadlineSeconds": Because(figures.drain.value + PROGRESS_S, patience),
    }


def _pod(deployed: Deployed) -> dict[str, object]:
    termination = deployed.figures.termination
    return {
        "terminationGracePeriodSeconds": Because(termination.value, termination.why),
        "topologySpreadConstraints": [_over_nodes(deployed), _over("topology.kubernetes.io/zone", deployed)],
        "containers": [_container(deployed)],
    }


def _over_nodes(deployed: Deployed) -> Because:
    """Strict where pods may die and promises are kept: a node that dies must not take more of them with it."""
    most = pods_a_node(deployed)
    if most is None:
        return _over("kubernetes.io/hostname", deployed)
    domains = deployed.figures.most_pods + deployed.figures.rolling.surge
    strict = {
        "maxSkew": most,
        "minDomains": Because(
            domains, "the most pods there may be, and those of a deploy: on fewer nodes the skew is to 0"
        ),
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": deployed.target.labels},
    }
    return Because(
        strict,
        f"slo.survive_servers counts pods, and a node that dies takes all of its own: rather a pod that waits for a "
        f"node than a node with more than {most:,}. ScheduleAnyway starts them everywhere, and breaks the promise",
    )


def pods_a_node(deployed: Deployed) -> int | None:
    """Pods that one node may hold, as many as may die; None where nothing is promised."""
    if not promise(deployed.scenario, "survive_servers"):
        return None
    return max(1, bearable(deployed.scenario, deployed.figures.pods))


def _over(key: str, deployed: Deployed) -> Because:
    soft = {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": deployed.target.labels},
    }
    why = "soft: what dies with a node or a zone is few pods, and pods that fit nowhere else start all the same"
    return Because(soft, why)


def _container(deployed: Deployed) -> dict[str, object]:
    target, pause = deployed.target, deployed.figures.pre_stop
    sleep = f"{pause.why}. The server goes on meanwhile. Needs Kubernetes 1.30; before that an exec of sleep."
    return {
        "name": "server",
        "image": Because(target.image, "yours; the scenario knows no image"),
        "ports": [{"name": "http", "containerPort": target.port}],
        "resources": _resources(deployed),
        **_probes(deployed.scenario),
        "lifecycle": {"preStop": {"sleep": {"seconds": Because(pause.value, sleep)}}},
    }


def _resources(deployed: Deployed) -> dict[str, object]:
    servers, full = deployed.scenario.servers, deployed.figures.spare_each
    cores = "one core for each of servers.workers; no limit, for a throttled loop makes everybody wait"
    requests = {"cpu": Because(str(servers.workers), cores)}
    if servers.memory is not None:
        memory = str(servers.memory)
        requests["memory"] = Because(memory, "servers.memory")
        return {
            "requests": requests,
            "limits": {"memory": Because(memory, "servers.memory: the model refuses beyond it")},
        }
    needed = servers.resolved_costs.memory_bytes(full.value)
    if needed:
        why = f"servers.memory is not set: the process and {number(full.value)} connections by the profile ({full.why})"
        requests["memory"] = Because(str(needed), why)
    return {"requests": requests}


def readiness_s(scenario: Scenario) -> int:
    """Time between two checks that a pod can be given connections, whole seconds: `FAILURES` of them fit into
    `balancer.detection`, as far as whole seconds go."""
    return max(1, math.floor(scenario.balancer.detection / FAILURES))


def _probes(scenario: Scenario) -> dict[str, object]:
    """What `/healthz` is asked, and how often."""
    healthz = {"httpGet": {"path": "/healthz", "port": "http"}}
    startup_s, pauses_s = scenario.servers.startup, [one.lasts for one in scenario.faults if one.kind == "pause_server"]
    failures = max(3, math.ceil(max(pauses_s, default=0.0) / LIVENESS_S) + 1)
    answer = Because(math.ceil(CHECK_ANSWER_S), "a loop in the middle of a broadcast is busy, not dead")
    detection = f"so that {FAILURES} checks fit into balancer.detection, {scenario.balancer.detection:g} s"
    if readiness_s(scenario) * FAILURES > scenario.balancer.detection:
        detection = f"as often as there may be: balancer.detection is {scenario.balancer.detection:g} s"
    asked = (
        "rarely, a choice: a restart cuts everybody off and is the last resort; a pod on its way out is asked no more"
    )
    alive = "3, the default of Kubernetes"
    if pauses_s:
        alive = f"so that the longest pause_server, {max(pauses_s):g} s, is no death; at least {alive}"
    return {
        "startupProbe": {
            **healthz,
            "periodSeconds": 1,
            "failureThreshold": Because(
                max(10, math.ceil(PATIENT_START * startup_s)),
                f"a pod must be up in so many seconds: {PATIENT_START} times servers.startup, {startup_s:g} s, or 10",
            ),
        },
        "readinessProbe": {
            **healthz,
            "periodSeconds": Because(readiness_s(scenario), detection),
            "timeoutSeconds": answer,
            "failureThreshold": Because(FAILURES, "a choice: one check may meet a busy loop"),
        },
        "livenessProbe": {
            **healthz,
            "periodSeconds": Because(LIVENESS_S, asked),
            "timeoutSeconds": answer,
            "failureThreshold": Because(failures, alive),
        },
    }


def services(deployed: Deployed) -> dict[str, dict[str, object]]:
    """The Service that clients or proxies reach by one address, and one without an address that names every pod."""
    target = deployed.target
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    own = [{"name": "http", "port": target.port, "targetPort": "http"}]
    one: dict[str, object] = {
        "type": "ClusterIP",
        "selector": target.labels,
        "ports": ports,
        **_affinity(deployed.scenario),
    }
    every = {
        "clusterIP": Because("None", "no address of its own: DNS has every pod, for proxies that choose among them"),
        "selector": target.labels,
        "ports": own,
    }
    return {
        "service.yaml": {"apiVersion": "v1", "kind": "Service", "metadata": target.metadata(), "spec": one},
        "service-pods.yaml": {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": target.metadata("-pods"),
            "spec": every,
        },
    }


def _affinity(scenario: Scenario) -> dict[str, object]:
    """Whether a client keeps its pod, and why."""
    if scenario.balancer.affinity == "cookie":
        why = "balancer.affinity is cookie; a Service reads no cookies, and the client's address is the nearest it has"
    elif scenario.balancer.policy in ("source_hash", "consistent_hash"):
        why = f"balancer.policy is {scenario.balancer.policy}: a client goes where its address says"
    else:
        return {"sessionAffinity": Because("None", "balancer.affinity is none: each connection goes to any pod")}
    held = Because(STICKY_S, "the default of Kubernetes, 3 h since the last connection")
    return {
        "sessionAffinity": Because("ClientIP", why),
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": held}},
    }


def budget(deployed: Deployed) -> dict[str, object]:
    """The PodDisruptionBudget: how many pods may be evicted at a time, when nodes are drained.

    Deploys do not ask it.
    """
    scenario, figures, target = deployed.scenario, deployed.figures, deployed.target
    promised = promise(scenario, "survive_servers")
    most = max(1, min(promised or 0, figures.pods - 1))
    if promised and most == promised:
        why = f"slo.survive_servers: {plural(promised, 'pod')} may be missing, and every promise is kept"
    elif promised:
        why = f"slo.survive_servers is {promised:,}, and there are only {plural(figures.pods, 'pod')}"
    else:
        why = "slo.survive_servers promises nothing; with 0 no node could ever be drained, so it is 1"
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": target.metadata(),
        "spec": {
            "maxUnavailable": Because(most, why),
            "selector": {"matchLabels": target.labels},
            "unhealthyPodEvictionPolicy": Because("AlwaysAllow", "a pod that never gets ready must not hold up a node"),
        },
    }
