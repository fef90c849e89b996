"""Networks by name, and model files."""

from anychan.models import wide  # noqa: F401 # registers its networks
from anychan.models._registry import create_model, list_models, register_model
from anychan.models.files import ModelInfo, load_model, save_model

__all__ = ["ModelInfo", "create_model", "list_models", "load_model", "register_model", "save_model"]
