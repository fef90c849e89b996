"""What a set of runs still lacks: trained where it was left, evaluated where it was not."""

from __future__ import annotations

import json

from anychan.adaptation import PLAIN
from anychan.evaluation import evaluate_run
from anychan.models import load_model
from anychan.training import TrainConfig, train
from anychan.training.config import differences


def complete(config: TrainConfig, split: str, *, cost: bool = False) -> None:
    """Train and evaluate what is not there yet; of a finished run only the settings are compared.

    Raises:
        ValueError: if the folder holds a run with other settings; and see `train` and `evaluate_run`.
    """
    record, status = config.out / "run.json", ""
    if record.is_file():
        known = json.loads(record.read_text(encoding="utf-8"))
        changed, status = differences(known["config"], config.to_dict()), known["status"]
        if changed:
            raise ValueError(f"{config.out} holds a run with other settings ({'; '.join(changed)})")
        config.resume = True
    if status != "finished":
        train(config)
    if not (config.out / "evaluation" / f"{split}.json").is_file():
        evaluate_run(config.out, asked(config), split, cache_dir=config.cache_dir, cost=cost, pictures=False)


def asked(config: TrainConfig) -> str | list[str]:
    """The subsets that a run is to be evaluated on: every one, of a plain network all its channels."""
    return "all" if config.strategy != PLAIN else [str(load_model(config.out)[1].channels)]
