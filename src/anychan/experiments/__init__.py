"""Many runs that belong together: recipes of the sources, ablations, searches, studies; and their records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anychan._lazy import lazily

if TYPE_CHECKING:
    from anychan.experiments._ablation_words import ablation_table
    from anychan.experiments._reproduced_words import reproduction_table
    from anychan.experiments.ablation import Ablation, ablate
    from anychan.experiments.expected import list_recipes_with_results, recipe_results, recipes_table
    from anychan.experiments.recipes import Recipe, list_recipes
    from anychan.experiments.records import record_kinds, record_schema, validate_records
    from anychan.experiments.reproduction import reproduce
    from anychan.experiments.search import sweep, sweep_table
    from anychan.experiments.search_space import SearchSpace
    from anychan.experiments.study import Search, Study, StudyRun, conduct

# Imported when asked for, so that looking at records does not wait for torch.
_PUBLIC = {
    "Ablation": "anychan.experiments.ablation",
    "Recipe": "anychan.experiments.recipes",
    "Search": "anychan.experiments.study",
    "SearchSpace": "anychan.experiments.search_space",
    "Study": "anychan.experiments.study",
    "StudyRun": "anychan.experiments.study",
    "ablate": "anychan.experiments.ablation",
    "ablation_table": "anychan.experiments._ablation_words",
    "conduct": "anychan.experiments.study",
    "list_recipes": "anychan.experiments.recipes",
    "list_recipes_with_results": "anychan.experiments.expected",
    "recipe_results": "anychan.experiments.expected",
    "recipes_table": "anychan.experiments.expected",
    "record_kinds": "anychan.experiments.records",
    "record_schema": "anychan.experiments.records",
    "reproduce": "anychan.experiments.reproduction",
    "reproduction_table": "anychan.experiments._reproduced_words",
    "sweep": "anychan.experiments.search",
    "sweep_table": "anychan.experiments.search",
    "validate_records": "anychan.experiments.records",
}
__all__ = [
    "Ablation",
    "Recipe",
    "Search",
    "SearchSpace",
    "Study",
    "StudyRun",
    "ablate",
    "ablation_table",
    "conduct",
    "list_recipes",
    "list_recipes_with_results",
    "recipe_results",
    "recipes_table",
    "record_kinds",
    "record_schema",
    "reproduce",
    "reproduction_table",
    "sweep",
    "sweep_table",
    "validate_records",
]

__getattr__, __dir__ = lazily(__name__, _PUBLIC)
