"""Snippets for HAProxy and nginx in front of the pods, with timeouts that fit the heartbeat.

A proxy that waits for less than pings or polls take drops connections that are well: Mattermost with pings and an idle
timeout of 60 s each lost 61 % of them. How long to wait is one rule, `realtime_sim.proxies.patience_s`, and a
`network.idle_timeout` of the scenario counts where it is longer.

References
----------
HAProxy configuration manual: `timeout tunnel`, `option redispatch`, `server-template`, `slowstart`, `resolvers`. nginx
documentation: ngx_http_proxy_module, ngx_http_upstream_module. Mattermost documentation, issue 8929.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from realtime_sim.deployment.figures import Deployed, figures_of
from realtime_sim.deployment.pods import FAILURES, readiness_s
from realtime_sim.deployment.reasons import comment, shown
from realtime_sim.deployment.target import target_of
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.limits.table import number, plural
from realtime_sim.proxies import (
    COOKIE,
    HAPROXY_POLICIES,
    LONGEST_S,
    NGINX_POLICIES,
    Timeouts,
    haproxy_defaults,
    milliseconds,
    nginx_block,
    nginx_idle,
    nginx_proxying,
    nginx_upgrade,
    patience_s,
)
from realtime_sim.scenario import Scenario
from realtime_sim.transports import TRANSPORTS
from realtime_sim.units import format_duration

__all__ = ["UNPINGED_S", "haproxy_snippet", "nginx_snippet"]

UNPINGED_S = 2_400.0
"""Silence that is granted to a cohort without pings, which then comes to an hour: what the HAProxy manual writes for a
tunnel (`timeout tunnel 1h`). Nothing tells such a connection from a dead one."""

SOCKET_IO = "/socket.io/"
"""Where Socket.IO is; polls and WebSockets have one path there."""

_HOST = r"([\w.-]+|\[[\da-fA-F:]+\])"


def haproxy_snippet(
    scenario: Scenario,
    *,
    namespace: str = "default",
    name: str | None = None,
    port: int = 8080,
    listen: int = 80,
    addresses: Sequence[str] = (),
) -> str:
    """Sections of HAProxy for a scenario: policy, stickiness, timeouts that fit, slow start.

    Parameters
    ----------
    scenario : Scenario
        What is behind it.
    namespace, name : str
        As for `manifests`: where its Services are.
    port : int
        Where servers listen.
    listen : int
        Where clients connect.
    addresses : sequence of str
        host:port of every server where they are no pods; left out, pods are looked up in DNS.

    Raises
    ------
    ScenarioError
        If a name, a port or an address is wrong.

    Examples
    --------
    Engine.IO pings every 25 s and waits for 20 s; half as long again is 67.5 s.

    >>> phones = {"name": "phones", "count": 1_000, "keepalive": "engineio"}
    >>> chat = Scenario(name="chat", duration="1min", clients=[phones])
    >>> text = haproxy_snippet(chat, addresses=["10.0.0.5:8080"])
    >>> [line.strip() for line in text.splitlines() if " tunnel " in line or " server s0 " in line]
    ['timeout tunnel 67500ms', 'server s0 10.0.0.5:8080 check inter 1000ms fall 2 rise 1']
    """
    deployed, times = _checked(scenario, namespace, name, port, listen, addresses), _timeouts(scenario)
    lines = [*_head(scenario, "HAProxy")]
    if not addresses:
        lines += ["resolvers cluster", *_indented(_RESOLVERS), ""]
    lines += ["defaults", *_indented(haproxy_defaults(times)), ""]
    lines += ["frontend clients", *_indented(_haproxy_front(scenario, listen)), ""]
    lines += ["backend servers", *_indented(_haproxy_back(deployed, times, addresses))]
    return "\n".join(lines) + "\n"


_RESOLVERS = (
    "# The nameservers of /etc/resolv.conf: in a pod, those of the cluster.",
    "parse-resolv-conf",
    "# One answer must hold the addresses of all pods.",
    "accepted_payload_size 8192",
    "hold valid 5s",
)


def _haproxy_front(scenario: Scenario, listen: int) -> list[str]:
    n = scenario.n_clients
    return [
        *_tls(scenario, "bind ... ssl crt FILE"),
        f"bind :{listen}",
        *comment(
            f"{n:,} clients, and as many again that come back before their old connections are gone. Each takes two "
            "descriptors: `maxconn` of the section `global` and `ulimit -n` must allow them.",
        ),
        f"maxconn {2 * n}",
        "# Servers see the proxy; the client stands here. What a client writes itself is not believed.",
        "http-request set-header X-Forwarded-For %[src]",
        "default_backend servers",
    ]


def _haproxy_back(deployed: Deployed, times: Timeouts, addresses: Sequence[str]) -> list[str]:
    scenario, figures, target = deployed.scenario, deployed.figures, deployed.target
    policy, sticky = scenario.balancer.policy, scenario.balancer.affinity == "cookie"
    lines = HAPROXY_POLICIES[policy].replace("\n    ", "\n").splitlines()
    if sticky and addresses:
        lines.append(f"cookie {COOKIE} insert indirect nocache httponly")
    elif sticky:
        lines += [
            "# Pods come and go, so the cookie is a hash of the address; the key is the same in every proxy.",
            f"cookie {COOKIE} insert indirect nocache httponly dynamic",
            f"dynamic-cookie-key {target.name}",
        ]
    if "sse" in _transports(scenario):
        lines += [
            "# A stream of events may be silent for another time than a request may take.",
            f"http-request set-timeout server {milliseconds(times.events_s)}ms if {{ path /events }}",
        ]
    interval = milliseconds(times.check_interval_s)
    check = f"check inter {interval}ms fall {FAILURES} rise 1"
    detection = f"balancer.detection, {scenario.balancer.detection:g} s"
    lines.append(f"# {FAILURES} checks fit into {detection}, as far as whole seconds go.")
    if slow_s := _slow_start_s(deployed):
        check += f" slowstart {slow_s}s"
        lines += comment(
            f"A new server gets its share little by little, in the {slow_s} s that it needs to accept "
            f"{number(figures.each.value)} clients at {number(figures.accepts_per_s)}/s beside its work."
        )
    if addresses:
        return [
            *lines,
            *(f"server s{i} {one}{f' cookie s{i}' if sticky else ''} {check}" for i, one in enumerate(addresses)),
        ]
    most = figures.most_pods + max(1, figures.rolling.surge)
    return [
        *lines,
        f"# {figures.most_pods:,} pods at most, and {most - figures.most_pods:,} more while a new version goes out.",
        f"server-template s {most} {target.pods_host}:{target.port} {check} resolvers cluster init-addr none",
    ]


def _slow_start_s(deployed: Deployed) -> int:
    """Time in which a new server should get its share, whole seconds; 0 where it need not be held back, or cannot."""
    figures = deployed.figures
    if figures.accepts_per_s is None or "hash" in deployed.scenario.balancer.policy:
        return 0
    return math.ceil(figures.each.value / figures.accepts_per_s)


def nginx_snippet(
    scenario: Scenario,
    *,
    namespace: str = "default",
    name: str | None = None,
    port: int = 8080,
    listen: int = 80,
    addresses: Sequence[str] = (),
    resolver: str = "10.96.0.10",
) -> str:
    """What nginx needs in its section `http` (a file in conf.d): policy, stickiness, timeouts that fit, no buffers.

    Parameters
    ----------
    scenario, namespace, name, port, listen, addresses
        As for `haproxy_snippet`.
    resolver : str
        Address of the cluster's DNS; the default is that of kubeadm.

    Raises
    ------
    ScenarioError
        If a name, a port or an address is wrong.

    Examples
    --------
    >>> phones = {"name": "phones", "count": 1_000, "keepalive": "engineio"}
    >>> chat = Scenario(name="chat", duration="1min", clients=[phones])
    >>> text = nginx_snippet(chat, namespace="push", port=9000)
    >>> [line.strip() for line in text.splitlines() if " server chat" in line]
    ['server chat-pods.push.svc.cluster.local:9000 max_fails=1 fail_timeout=1s resolve;']
    >>> [line.strip() for line in text.splitlines() if "67500ms" in line]
    ['proxy_read_timeout 67500ms; proxy_send_timeout 67500ms; send_timeout 67500ms;']
    """
    deployed, times = _checked(scenario, namespace, name, port, listen, addresses), _timeouts(scenario)
    if not isinstance(resolver, str) or not re.fullmatch(_HOST, resolver):
        raise ScenarioError(
            Problem("resolver", "must be the address of a DNS server", resolver, "write it like 10.96.0.10")
        )
    upstream = _nginx_upstream(deployed, addresses, resolver)
    lines = [*_head(scenario, "nginx"), *nginx_proxying(times.requests_s), "# Servers have limits of their own."]
    lines += ["client_max_body_size 0;", "", *nginx_block("upstream servers", upstream), ""]
    lines += nginx_block("server", _nginx_server(scenario, times, listen))
    return "\n".join(lines) + "\n"


def _nginx_upstream(deployed: Deployed, addresses: Sequence[str], resolver: str) -> list[str]:
    scenario, target = deployed.scenario, deployed.target
    lines = ["# Addresses of servers that come and go, and counts that all workers share.", "zone servers 1m;"]
    marks = "max_fails=1 fail_timeout=1s"
    if addresses:
        sticky = scenario.balancer.affinity == "cookie"
        lines += [f"server {one} {marks}{f' route=s{i}' if sticky else ''};" for i, one in enumerate(addresses)]
    else:
        lines += [
            "# Yours: kubectl -n kube-system get service kube-dns",
            f"resolver {resolver} valid=5s;",
            f"server {target.pods_host}:{target.port} {marks} resolve;",
        ]
    lines.append(NGINX_POLICIES[scenario.balancer.policy])
    if scenario.balancer.affinity == "cookie":
        lines += ["# Older open-source nginx has no `sticky`, and says so.", f"sticky cookie {COOKIE} path=/ httponly;"]
    if _slow_start_s(deployed):
        lines.append("# Open-source nginx has no slow start. servers.admission is another way, and HAProxy has one.")
    lines += [
        *comment(
            "It has no checks: a server that refuses a connection is passed over for a second, and balancer.detection "
            f"({scenario.balancer.detection:g} s) says nothing."
        ),
        "# Connections for polls to use again. Servers must keep idle ones for longer than this.",
        f"keepalive {max(32, min(10_000, scenario.n_clients))}; keepalive_timeout 10s; keepalive_requests 1000000000;",
    ]
    return [line for line in lines if line]


def _nginx_server(scenario: Scenario, times: Timeouts, listen: int) -> list[str]:
    silence, places = "# Silence on a WebSocket, in both directions together.", {}
    socketio = scenario.servers.stack == "socketio"
    if any(
        cohort.transport == "websocket" and not (socketio or cohort.polling_handshake) for cohort in scenario.clients
    ):
        places["= /ws"] = [*nginx_upgrade('"upgrade"'), silence, nginx_idle(times.websocket_s)]
    if socketio or any(cohort.polling_handshake for cohort in scenario.clients):
        places[SOCKET_IO] = [*nginx_upgrade(), silence, nginx_idle(max(times.websocket_s, times.requests_s))]
    if "sse" in _transports(scenario):
        places["= /events"] = [nginx_idle(times.events_s)]
    clear = _tls(scenario, "listen ... ssl and ssl_certificate")
    lines = [*clear, f"listen {listen};", "# Paths as servers of live runs have them; write your own."]
    for path, inside in {**places, "/": []}.items():
        lines += nginx_block(f"location {path}", ["proxy_pass http://servers;", *inside])
    return lines


def _timeouts(scenario: Scenario) -> Timeouts:
    """What pings and polls need; a longer `network.idle_timeout` is granted."""
    waits_s = []
    for transport in ("websocket", "sse", "long_polling"):
        named_s = [
            cohort.network.idle_timeout
            for cohort in scenario.clients
            if cohort.transport == transport and cohort.network.idle_timeout is not None
        ]
        waits_s.append(min(LONGEST_S, max([patience_s(scenario, transport, UNPINGED_S), *named_s])))
    return Timeouts(*waits_s, readiness_s(scenario))


def _head(scenario: Scenario, product: str) -> list[str]:
    """What stands at the top: what it is for, and where the timeouts come from."""
    lines = [
        f"# {product} for {shown(scenario.name)}: {plural(scenario.n_clients, 'client')}, "
        f"{plural(scenario.servers.count, 'server')}.",
        "#",
    ]
    lines.append(
        "# It waits in silence for half as long again as a connection that is well may be silent, at least 60 s:"
    )
    for cohort in scenario.clients:
        pings, idle_s = cohort.keepalive, cohort.network.idle_timeout
        held_s = TRANSPORTS[cohort.transport].poll_hold_s
        cause = "no pings: an hour, and whoever is silent for longer is dropped. Set clients.keepalive"
        if pings is not None:
            cause = f"pings every {format_duration(pings.interval)}, {format_duration(pings.timeout)} for the answer"
        cause += f"; polls are held for {held_s:g} s" if held_s else ""
        if idle_s is not None:
            cause += f"; network.idle_timeout {format_duration(idle_s)}, which counts where it is longer"
        lines.append(f"#   {shown(cohort.name)} ({cohort.transport}): {cause}")
    return [*lines, ""]


def _tls(scenario: Scenario, how: str) -> list[str]:
    """Where TLS ends, which takes a certificate that is not known here."""
    return [f"# TLS ends here ({how}) or in front of this."] if any(one.tls for one in scenario.clients) else []


def _transports(scenario: Scenario) -> set[str]:
    return {cohort.transport for cohort in scenario.clients}


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _checked(
    scenario: Scenario, namespace: str, name: str | None, port: int, listen: int, addresses: Sequence[str]
) -> Deployed:
    """What is written about, once everything was found to be in order."""
    target, problems = target_of(scenario, namespace=namespace, name=name, port=port), []
    if isinstance(listen, bool) or not isinstance(listen, int) or not 1 <= listen <= 65_535:
        problems.append(Problem("listen", "must be from 1 to 65_535", listen, "use the port that clients connect to"))
    for i, one in enumerate(addresses):
        if not isinstance(one, str) or not re.fullmatch(rf"{_HOST}:\d+", one):
            problems.append(Problem(f"addresses[{i}]", "must be host:port", one, "write it like 10.0.0.5:8080"))
    if problems:
        raise ScenarioError(problems)
    return Deployed(scenario, figures_of(scenario), target)
