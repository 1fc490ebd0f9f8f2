"""How OpenMP's threads wait for one another: chosen before torch is loaded, since its runtime reads this once.

A training step is thousands of small operations, and its threads meet after each. A thread that sleeps at once
(`passive`) must be woken every time, which took half of a step on a virtual machine; one that spins as long as it likes
takes the core from other processes. So a training looks for about .1 ms, then sleeps.
"""

import os

PASSIVE = {"OMP_WAIT_POLICY": "passive"}
SPIN_COUNT = "20000"


def wait_briefly() -> None:
    """For a process that has the cores to itself while it trains, and its children; what a user has set stays."""
    for name, value in {**PASSIVE, "GOMP_SPINCOUNT": SPIN_COUNT}.items():
        os.environ.setdefault(name, value)
