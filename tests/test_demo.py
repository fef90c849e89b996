"""The demo, on fewer images than it has by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from anychan import demo as module
from anychan.cli import main


def test_the_demo_ends_with_the_path_of_a_report_and_can_be_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {
        "data": "synthetic:bands=4,classes=8,train=64,val=16,test=32,size=16",
        "model_options": {"width": 3},
        "image_size": 16,
        "epochs": 1,
        "cache_dir": tmp_path / "cache",
    }
    monkeypatch.setattr(module, "COMMON", module.COMMON | small)
    for _ in range(2):
        assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
        output = capsys.readouterr()
        report = Path(output.out.splitlines()[-1])
        assert report == tmp_path / "demo" / "report.html"
        assert "any-channel" in report.read_text(encoding="utf-8")
        assert output.out.count("mean-of-present") == 14
        assert (tmp_path / "demo" / "any-channel" / "comparisons" / "plain-test.json").is_file()
