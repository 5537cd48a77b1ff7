"""One storm, three ways to come back, one figure: who spreads the retries recovers, who does not stays down.

python examples/compare_backoff.py [FIGURE]
"""

import sys
from pathlib import Path

from realtime_sim import Scenario, compare_backoff, plots

storm = Scenario.from_yaml(Path(__file__).with_name("reconnect_storm.yaml"))
found = compare_backoff(storm, ["full_jitter", "exponential", {"policy": "fixed", "delay": "1s"}])
print(found)
path = sys.argv[1] if len(sys.argv) > 1 else "out/compare_backoff.png"
plots.save(plots.compare_backoff(found), path)

# The cure at the servers: of a hundred handshakes at a time few are late, and what is more is turned away at once.
protected = storm.replace(**{"servers.admission": {"concurrency": 100}})
print(compare_backoff(protected, [{"policy": "fixed", "delay": "1s"}]))
