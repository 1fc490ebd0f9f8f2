"""The machine that a cell was run on, in one line: figures of time mean nothing without it."""

import os
import platform
from pathlib import Path

import psutil

CPU_INFO = Path("/proc/cpuinfo")


def machine() -> str:
    """`Intel Xeon, 2 cores, 24 GiB`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"


def _processor() -> str:
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
