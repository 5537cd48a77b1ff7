"""The dashboard of a live run: what it shows (`snapshot`), what it has sent (`history`), the page and its `feed`."""

from live.dashboard.feed import Dashboard
from live.dashboard.snapshot import Snapshot

__all__ = ["Dashboard", "Snapshot"]
