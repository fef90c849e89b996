"""That nothing a run takes from other runs has been trained on the images which it holds out."""

from __future__ import annotations

from anychan._records import read_run_record
from anychan.training.config import TrainConfig
from anychan.training.images import Images


def refuse_seen(config: TrainConfig, data: Images) -> None:
    """Refuse to begin with a run, or to learn from one, that was trained on the images which this one holds out.

    More of the same images held out are fewer trained on: `hold_out` chooses the first of one order.

    Args:
        config: the run's settings.
        data: its images.

    Raises:
        ValueError: if it was, or held out of other images, so that nobody knows.
        FileNotFoundError: if a folder has no record of its training.
    """
    if config.held_out is None:
        return
    for what, folder in (("initial", config.initial), ("objective.teacher", config.objective.teacher)):
        if folder is None:
            continue
        record = read_run_record(folder)
        before = record["config"].get("held_out")
        if before is None or before < config.held_out:
            raise ValueError(
                f"{what} {folder} was trained on images that held_out {config.held_out} sets aside for validation: "
                f"take a run with held_out {config.held_out} or more, not {before}"
            )
        listed = (record.get("data") or {}).get("fingerprints", {}).get("train")
        trained, expected = record.get("training_images"), len(data.train) + config.held_out - before
        now = data.dataset.description["fingerprints"]["train"]
        if listed not in (None, now):  # where a record tells less, the number held out is all there is to look at
            differs = f"training split {listed[:8]}, not {now[:8]}"
        elif trained not in (None, expected):
            differs = f"{trained} trained on, not {expected}: other broken ones were left out"
        else:
            continue
        raise ValueError(
            f"{what} {folder} held out of other images than {config.data} has ({differs}), so it may have been trained "
            f"on those that held_out {config.held_out} sets aside: take a run on the same images"
        )
