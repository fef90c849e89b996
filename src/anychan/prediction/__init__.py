"""Ask a trained model about image files: `anychan predict`, and `Predictor` and `predict` in Python.

An image is read, cut and normalised just as `anychan evaluate` does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anychan._lazy import lazily

if TYPE_CHECKING:
    from anychan.prediction.images import find_images
    from anychan.prediction.predictor import Prediction, Predictor, predict

_PUBLIC = {
    "Prediction": "anychan.prediction.predictor",
    "Predictor": "anychan.prediction.predictor",
    "find_images": "anychan.prediction.images",
    "predict": "anychan.prediction.predictor",
}
__all__ = ["Prediction", "Predictor", "find_images", "predict"]

__getattr__, __dir__ = lazily(__name__, _PUBLIC)
