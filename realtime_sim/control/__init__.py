"""The control plane: what is done to a running system, and why, as SimPy processes; the same for every producer.

`machinery` is what a producer must be able to do, `cluster` what a process says to it, `environment` its clock.
`faults` and `deploys` hold a process for each entry of a scenario, `autoscaler` is another and acts by its
`replica_set`, `monitor` takes the samples, `process` looks after what a user has written, `start` sets all of them
going.
"""

from realtime_sim.control.cluster import Cluster
from realtime_sim.control.environment import Environment
from realtime_sim.control.machinery import Instance, Machinery, Observation
from realtime_sim.control.start import Control, start_control

__all__ = ["Cluster", "Control", "Environment", "Instance", "Machinery", "Observation", "start_control"]
