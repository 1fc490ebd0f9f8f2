"""Waiting for what another thread, process or task does, and a clock that a test moves itself."""

import asyncio
import time

WITHIN_S = 30.0


def wait_for(condition):
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.02)


async def until(condition):
    """As `wait_for`, while the other tasks of this loop go on."""
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.005)


class Clock:
    """Seconds since some moment; it stands still until the test moves it."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s
