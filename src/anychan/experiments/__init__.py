"""Many runs that belong together: ablations, and searches for settings."""

from anychan.experiments.ablation import Ablation, ablate, ablation_table
from anychan.experiments.search import sweep, sweep_table
from anychan.experiments.search_space import SearchSpace

__all__ = ["Ablation", "SearchSpace", "ablate", "ablation_table", "sweep", "sweep_table"]
