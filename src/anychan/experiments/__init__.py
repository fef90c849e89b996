"""Many runs that belong together: searches for settings."""

from anychan.experiments.search import sweep, sweep_table
from anychan.experiments.search_space import SearchSpace

__all__ = ["SearchSpace", "sweep", "sweep_table"]
