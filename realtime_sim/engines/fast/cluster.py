"""The compiled engine as a `Cluster` of the control plane: faults on arrays, and one run from start to end."""

from __future__ import annotations
