"""Which settings of a run are none of its experiment, and what they are instead."""

from __future__ import annotations

# Where things lie.
PLACE = frozenset({"data", "out", "cache_dir"})
# What computes, and how: weights differ by its rounding only. Records name what was chosen.
MACHINE = frozenset({"device", "precision", "channels_last", "cuda_graphs"})
# How a run is watched and gone on with.
WATCHED = frozenset({"resume", "checkpoint_every_steps", "checkpoint_every_seconds"})
# Paths that are compared and told by what lies there.
BY_CONTENT = frozenset({"initial", "pretrained", "objective.teacher"})
