"""What a run shows on stderr: one bar over all its steps, with the time left, and a line for each epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

# Loss and accuracy are fetched from the device at most so often, in seconds.
_REFRESH = 0.5

_BAR = "{desc} {percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} steps, {elapsed} < {remaining} left{postfix}"


class Progress:
    """A progress bar on a terminal, a line an epoch elsewhere, nothing in all processes but one.

    Args:
        steps: of the whole run.
        done: of them, before this start.
        epochs: of the whole run.
        shown: whether this process shows anything.
    """

    def __init__(self, steps: int, done: int, epochs: int, shown: bool) -> None:
        from tqdm import tqdm

        self._shown = shown
        self._epochs = epochs
        self._refreshed = time.monotonic()
        self._behind = 0
        hidden = not (shown and sys.stderr.isatty())
        self._bar = tqdm(total=steps, initial=done, disable=hidden, bar_format=_BAR, dynamic_ncols=True)

    def step(self, epoch: int, measure: Callable[[], tuple[float, float, float]]) -> None:
        """Move on by a step; ``measure`` gives the epoch's loss, accuracy and images a second, and may wait."""
        if self._bar.disable:
            return
        self._behind += 1
        now = time.monotonic()
        if now - self._refreshed >= _REFRESH:
            loss, accuracy, speed = measure()
            self._bar.set_description_str(f"epoch {epoch}/{self._epochs}", refresh=False)
            self._bar.set_postfix_str(f"loss {loss:.3f}, accuracy {accuracy:.1%}, {speed:.0f} images/s", refresh=False)
            self._bar.update(self._behind)
            self._behind, self._refreshed = 0, now

    def epoch(self, record: dict[str, Any]) -> None:
        """Say how an epoch went."""
        self._bar.update(self._behind)
        self._behind = 0
        text = f"epoch {record['epoch']}/{self._epochs}: loss {record['train_loss']:.4f}"
        text += f", accuracy {record['train_accuracy']:.1%}"
        if record["val_loss"] is not None:
            text += f"; validation loss {record['val_loss']:.4f}, accuracy {record['val_accuracy']:.1%}"
        self.say(f"{text}; {record['images_per_second']:.0f} images/s, {record['seconds']:.1f} s")

    def say(self, text: str) -> None:
        """Print a line without breaking the bar."""
        if self._shown:
            self._bar.write(text, file=sys.stderr)

    def close(self) -> None:
        self._bar.close()
