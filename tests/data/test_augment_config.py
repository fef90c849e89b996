"""Settings of augmentation: what is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from anychan.data.augment_config import AugmentationConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("crop_padding", -1),
        ("crop_padding", 1.5),
        ("random_resized_crop", (0.0, 1.0)),
        ("random_resized_crop", (0.6, 0.5)),
        ("random_resized_crop", (0.5, 1.1)),
        ("random_resized_crop", (float("nan"), 1.0)),
        ("random_resized_crop", (0.5,)),
        ("flip", 1.1),
        ("flip", float("nan")),
        ("rotation", -1.0),
        ("rotation", 181.0),
        ("perspective", 0.7),
        ("erasing", -0.1),
        ("channel_drop", 2.0),
    ],
)
def test_bad_values_are_named(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        AugmentationConfig(**{field: value})


def test_off_unless_something_is_asked_for() -> None:
    assert AugmentationConfig().off
    assert not AugmentationConfig(channel_drop=0.1).off


def test_settings_do_not_import_torch() -> None:
    code = "import sys, anychan.data.augment_config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
