"""Many runs that belong together: recipes of the sources, ablations, and searches for settings."""

from anychan.experiments.ablation import Ablation, ablate, ablation_table
from anychan.experiments.recipes import Recipe, list_recipes, recipes_table, reproduce, reproduction_table
from anychan.experiments.search import sweep, sweep_table
from anychan.experiments.search_space import SearchSpace

__all__ = [
    "Ablation",
    "Recipe",
    "SearchSpace",
    "ablate",
    "ablation_table",
    "list_recipes",
    "recipes_table",
    "reproduce",
    "reproduction_table",
    "sweep",
    "sweep_table",
]
