"""The dashboard of a live run: what it shows (`snapshot`), what it has sent (`history`), the page and its `feed`,
and who keeps it up to date (`watching`)."""

from live.dashboard.feed import Dashboard
from live.dashboard.snapshot import Snapshot
from live.dashboard.watching import Watching

__all__ = ["Dashboard", "Snapshot", "Watching"]
