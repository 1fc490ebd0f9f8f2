import os
import subprocess
import sys

from raconteur.threads import SPIN_COUNT, wait_briefly


def test_wait_briefly_is_what_the_runtime_reads(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    code = "from raconteur.threads import wait_briefly; wait_briefly(); import torch; torch.ones(4).sum()"
    environment = {"OMP_DISPLAY_ENV": "verbose", "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert f"GOMP_SPINCOUNT = '{SPIN_COUNT}'" in told.stderr, told.stderr


def test_wait_briefly_leaves_what_the_user_chose(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    wait_briefly()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"]) == ("active", "7")
