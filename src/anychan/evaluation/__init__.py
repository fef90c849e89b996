"""Evaluation: a model's answers on channel subsets, what is measured of them, and whether two models differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anychan._lazy import lazily

if TYPE_CHECKING:
    from anychan.evaluation.compare import compare_runs
    from anychan.evaluation.costs import costs_table, record_costs
    from anychan.evaluation.evaluate import HELD_OUT, evaluate_run
    from anychan.evaluation.fills import FILLS, fill_missing
    from anychan.evaluation.intervals import wilson_interval
    from anychan.evaluation.paired import NOT_DISTINGUISHABLE, Paired
    from anychan.evaluation.predict import predict_subset
    from anychan.evaluation.predictions import Predictions, read_predictions, write_predictions
    from anychan.evaluation.specialists import compare_specialists
    from anychan.evaluation.tables import comparison_table, specialists_table, table

# Imported when asked for, so that who reads records does not wait for torch. A name like that of a module (metrics)
# cannot be: it would be the module as soon as that is imported.
_PUBLIC = {
    "FILLS": "anychan.evaluation.fills",
    "HELD_OUT": "anychan.evaluation.evaluate",
    "NOT_DISTINGUISHABLE": "anychan.evaluation.paired",
    "Paired": "anychan.evaluation.paired",
    "Predictions": "anychan.evaluation.predictions",
    "compare_runs": "anychan.evaluation.compare",
    "compare_specialists": "anychan.evaluation.specialists",
    "costs_table": "anychan.evaluation.costs",
    "comparison_table": "anychan.evaluation.tables",
    "evaluate_run": "anychan.evaluation.evaluate",
    "fill_missing": "anychan.evaluation.fills",
    "predict_subset": "anychan.evaluation.predict",
    "read_predictions": "anychan.evaluation.predictions",
    "record_costs": "anychan.evaluation.costs",
    "specialists_table": "anychan.evaluation.tables",
    "table": "anychan.evaluation.tables",
    "wilson_interval": "anychan.evaluation.intervals",
    "write_predictions": "anychan.evaluation.predictions",
}
__all__ = [
    "FILLS",
    "HELD_OUT",
    "NOT_DISTINGUISHABLE",
    "Paired",
    "Predictions",
    "compare_runs",
    "compare_specialists",
    "comparison_table",
    "costs_table",
    "evaluate_run",
    "fill_missing",
    "predict_subset",
    "read_predictions",
    "record_costs",
    "specialists_table",
    "table",
    "wilson_interval",
    "write_predictions",
]

__getattr__, __dir__ = lazily(__name__, _PUBLIC)
