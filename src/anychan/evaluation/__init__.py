"""Evaluation: a model's answers on channel subsets, what is measured of them, and whether two models differ."""

from anychan.evaluation.compare import compare_runs
from anychan.evaluation.evaluate import HELD_OUT, evaluate_run
from anychan.evaluation.fills import FILLS, fill_missing
from anychan.evaluation.intervals import wilson_interval
from anychan.evaluation.metrics import metrics
from anychan.evaluation.paired import NOT_DISTINGUISHABLE, Paired
from anychan.evaluation.predict import predict_subset
from anychan.evaluation.predictions import Predictions, read_predictions, write_predictions
from anychan.evaluation.specialists import compare_specialists
from anychan.evaluation.tables import comparison_table, specialists_table, table

__all__ = [
    "FILLS",
    "HELD_OUT",
    "NOT_DISTINGUISHABLE",
    "Paired",
    "Predictions",
    "compare_runs",
    "compare_specialists",
    "comparison_table",
    "evaluate_run",
    "fill_missing",
    "metrics",
    "predict_subset",
    "read_predictions",
    "specialists_table",
    "table",
    "wilson_interval",
    "write_predictions",
]
