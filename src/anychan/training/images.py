"""The images that a run is trained on and validated with."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anychan.adaptation import AnyChannelModel
from anychan.data import Dataset, ImageArray, hold_out, load_split, open_dataset
from anychan.training.batches import present_of
from anychan.training.config import TrainConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

_NAMED = 5  # labels of a warning


@dataclass(frozen=True)
class Images:
    """A data set, its training images, and those to validate with; None: there are none."""

    dataset: Dataset
    train: ImageArray
    validation: ImageArray | None

    @property
    def origin(self) -> dict[str, str | None]:
        """What tells these images from others: their files, and how pictures are made of them."""
        return {
            "train": self.train.fingerprint,
            "val": None if self.validation is None else self.validation.fingerprint,
            "decoding": self.dataset.decoding,
        }

    def unseen_classes(self) -> str:
        """A line that tells which labels no training image has; "" where all have some."""
        unseen = sorted(set(range(len(self.dataset.classes))) - set(self.train.labels.tolist()))
        if not unseen:
            return ""
        more = f" and {len(unseen) - _NAMED} more" if len(unseen) > _NAMED else ""
        labels = ", ".join(map(str, unseen[:_NAMED])) + more
        have = "label {} has" if len(unseen) == 1 else "labels {} have"
        return f"warning: {have.format(labels)} no image in the training split"


def load_images(config: TrainConfig, accelerator: Accelerator) -> Images:
    """Those that the settings name, the validation split's or held out; one process decodes what is in no cache yet.

    Raises:
        ValueError: if there are no training images, or none to validate with where early stopping needs them, and as
            ``load_split``; of the validation split's, which would measure something else, none is skipped.
    """
    dataset = open_dataset(config.data, config.bands)
    there = [split for split, samples in dataset.splits.items() if samples]
    if "train" not in there:
        raise ValueError(f"{config.data} has no training split; it has {', '.join(there)}")
    if config.early_stopping.patience is not None and "val" not in there and config.held_out is None:
        raise ValueError(f"early stopping needs a validation split; {config.data} has {', '.join(there)}")
    if accelerator.is_main_process:
        dataset.warn_of_overlap()
    shown = accelerator.is_main_process and sys.stderr.isatty()

    def load(split: str) -> ImageArray:
        skip = config.skip_broken and split == "train"
        return load_split(dataset, split, config.image_size, config.cache_dir, skip_broken=skip, progress=shown)

    with accelerator.main_process_first():  # the first fills the cache, the others find it full
        train = load("train")
        if config.held_out is not None:
            return Images(dataset, *hold_out(train, config.held_out))
        return Images(dataset, train, load("val") if "val" in there else None)


def check_channels(config: TrainConfig, images: Images, model: AnyChannelModel) -> None:
    """Images must have what a model needs: a plain one all of its channels, others some that there are statistics for.

    Raises:
        ValueError: if one does not.
    """
    if not model.stems:
        for what, array in (("training", images.train), ("validation", images.validation)):
            for there in () if array is None else array.channel_sets(model.channels.names):
                if len(there) < len(model.channels):
                    raise ValueError(
                        f"a {what} image has the channels {there} only, and a plain network takes all of "
                        f"{model.channels}: leave it out, or take a strategy, which takes any"
                    )
    if images.validation is None:
        return
    seen = model.channels.subset(config.fixed_subset)
    present_of(images.validation, seen)  # which refuses images with none of them
    if not model.subset_statistics:
        return
    kept = {frozenset(subset.names) for subset in model.subset_statistics.subsets}
    for there in images.validation.channel_sets(seen.names):
        if frozenset(there.names) not in kept:
            raise ValueError(
                f"a validation image has the channels {there}, and no training image has all of them, so there would "
                "be no statistics to validate it by: leave it out, or take normalisation.statistics 'shared'"
            )
