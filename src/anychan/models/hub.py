"""Models to be shared: ``save_pretrained``, ``from_pretrained`` and ``push_to_hub`` of huggingface_hub's mixin.

`PyTorchModelHubMixin` rebuilds a model from the arguments of its constructor. Ours is described by ``model.json``, so
that `PretrainedModel` is a plain `ModelHubMixin`, which holds a model and its description, and says itself how both
are saved: as the model files of a run. So a shared folder is a model file for every command, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelHubMixin, snapshot_download

from anychan._files import replacing
from anychan.adaptation import AnyChannelModel
from anychan.models.card import model_card
from anychan.models.files import DESCRIPTION, WEIGHTS, ModelInfo, find_model, load_model, save_model

CARD, CONFIG = "README.md", "config.json"  # the hub's names; it counts downloads of the second


class PretrainedModel(ModelHubMixin):
    """A trained model with its description and its card, to be saved, loaded and shared.

    Args:
        model: the model.
        info: its description.
        card: Markdown; None: what follows from ``info``.

    Example:
        >>> from anychan.models import create_model
        >>> import tempfile
        >>> channels = create_model("wide4", num_classes=1).channels.with_statistics([0.5] * 3, [0.3] * 3)
        >>> info = ModelInfo("wide4", 2, "sliced", channels, ("cat", "dog"), 16, model_options={"width": 3})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     PretrainedModel(info.create(), info).save_pretrained(folder)
        ...     sorted(path.name for path in Path(folder).iterdir())
        ...     PretrainedModel.from_pretrained(folder).info.classes
        ['README.md', 'config.json', 'model.json', 'model.safetensors']
        ('cat', 'dog')
    """

    def __init__(self, model: AnyChannelModel, info: ModelInfo, card: str | None = None) -> None:
        self.model, self.info = model, info
        self.card = model_card(info) if card is None else card

    @classmethod
    def from_run(cls, run: Path | str) -> PretrainedModel:
        """The model of a run (or a model file, or a packaged model), its card made from the records there.

        Raises:
            FileNotFoundError: if there is no model.
            ValueError: if its files or records are damaged.
        """
        folder = find_model(run)
        model, info = load_model(folder)
        return cls(model, info, model_card(info, folder))

    def generate_model_card(self, *_: Any, **__: Any) -> ModelCard:
        """The card, as the hub has it."""
        return ModelCard(self.card)

    def _save_pretrained(self, save_directory: Path) -> None:
        save_model(save_directory, self.model, self.info)
        summary = {
            "library_name": "anychan",
            "architecture": self.info.architecture,
            "strategy": self.info.strategy,
            "channels": list(self.info.channels.names),
            "num_classes": self.info.num_classes,
        }
        # The mixin leaves a card that is there already, which may be another model's.
        with replacing(save_directory / CARD) as temporary:
            temporary.write_text(self.card, encoding="utf-8")
        with replacing(save_directory / CONFIG) as temporary:
            temporary.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **unknown: Any,
    ) -> PretrainedModel:
        # What huggingface_hub before 1.0 passes on unasked is None.
        if unknown := {name: value for name, value in unknown.items() if value is not None}:
            raise ValueError(f"from_pretrained does not take {', '.join(unknown)}: all is in the model's own files")
        folder = Path(model_id)
        if not folder.is_dir():
            folder = Path(
                snapshot_download(
                    model_id,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    local_files_only=local_files_only,
                    token=token,
                    allow_patterns=[WEIGHTS, DESCRIPTION, CARD, CONFIG],
                )
            )
        model, info = load_model(folder)
        card = folder / CARD
        return cls(model, info, card.read_text(encoding="utf-8") if card.is_file() else None)
