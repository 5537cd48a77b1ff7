"""The command `realtime-sim`: a scenario in, tables and JSON out. Bad input is one message and exit code 2.

`app` is the program; `inputs` and `options` are what its commands have in common; the other modules hold the commands.
"""

from realtime_sim.cli import simulating, planning, sweeping, showing, living, deploying, answering  # isort: skip - as in the help
from realtime_sim.cli.app import main

__all__ = ["answering", "deploying", "living", "main", "planning", "showing", "simulating", "sweeping"]
