"""Deployment: a scenario's answer as Kubernetes manifests, Prometheus rules, and snippets for HAProxy and nginx.

Every number comes from the scenario or from arithmetic on it, and the comment above it says from where. What a scenario
says and these cannot is in the notes.
"""

from realtime_sim.deployment.kubernetes import Manifests, manifests
from realtime_sim.deployment.snippets import haproxy_snippet, nginx_snippet

__all__ = ["Manifests", "haproxy_snippet", "manifests", "nginx_snippet"]
