"""The ablations that the documentation speaks of can be read, and each setting is one that a run takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from anychan.experiments import Ablation

ABLATIONS = sorted((Path(__file__).parents[2] / "docs" / "ablations").glob("*.yaml"))


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_each_ablation_can_be_run(path: Path) -> None:
    ablation = Ablation.read(path, data="synthetic")
    assert ablation.title
    command = path.read_text(encoding="utf-8").splitlines()[0]
    data = "" if "data" in yaml.safe_load(path.read_text(encoding="utf-8"))["base"] else " --data DATA"
    assert command == f"# anychan ablate docs/ablations/{path.name} --out runs/{path.stem}{data}"
