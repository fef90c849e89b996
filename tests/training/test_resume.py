"""Killed runs go on to the same bits: twenty of them, five killed while a checkpoint was being written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

AT_RANDOM, AT_WRITE = 15, 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the killed runs are forks")
def test_twenty_killed_runs_end_as_an_undisturbed_one(tmp_path: Path) -> None:
    program = Path(__file__).with_name("killed_runs.py")
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path), str(AT_RANDOM), str(AT_WRITE)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == 20
    assert sum(result["writing"] for result in results) == 5
    assert [result for result in results if not (result["model"] and result["state"] and result["records"])] == []
    # The moments were in different epochs, so that not all of them resumed from the same checkpoint.
    assert len({result["epochs_before"] for result in results}) >= 3
