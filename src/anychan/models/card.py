"""A model's card: a README that says what the model is for, what it was made of, how good it is and where it ends.

All numbers come from the records of its run: ``run.json`` and ``evaluation/<split>.json``. What no record says, the
card says is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anychan._plain import PLAIN
from anychan._records import RUN, read_record, trained_by
from anychan.channels import MEASURED
from anychan.models.files import ModelInfo

_SPLIT = "test"
_EXAMPLES = 12  # classes named in the card


def model_card(info: ModelInfo, run: Path | None = None) -> str:
    """The Markdown of a model's card, with the head that the Hugging Face Hub reads.

    Args:
        info: the model's description.
        run: the folder with the records of its run; None, or a record missing there: the card says so.

    Raises:
        ValueError: if a record there is damaged.
    """
    trained = _record(run, RUN, "run")
    evaluated = _record(run, f"evaluation/{_SPLIT}.json", "evaluation")
    sections = (
        _head(info, trained),
        f"# {_title(info, trained)}\n\n{_summary(info)}",
        f"## Intended use\n\n{_intended_use(info)}",
        f"## Training data\n\n{_data(info, trained)}",
        f"## Results\n\n{_results(info, evaluated)}",
        f"## Limits\n\n{_limits(info, evaluated)}",
        f"## Use\n\n{_use(info)}",
    )
    return "\n\n".join(sections) + "\n"


def _record(run: Path | None, name: str, kind: str) -> dict[str, Any] | None:
    if run is None or not (run / name).is_file():
        return None
    return read_record(run / name, kind)


def _head(info: ModelInfo, trained: Mapping[str, Any] | None) -> str:
    from huggingface_hub import ModelCardData

    names = [] if trained is None else [trained["data"]["name"]]
    tags = ["any-channel", "image-classification", info.strategy]
    data = ModelCardData(library_name="anychan", pipeline_tag="image-classification", tags=tags)
    return f"---\n{data.to_yaml()}\n---" + (f"\n\n<!-- trained on {names[0]} -->" if names else "")


def _title(info: ModelInfo, trained: Mapping[str, Any] | None) -> str:
    return trained["name"] if trained is not None else f"{info.architecture}, {info.strategy}"


def _summary(info: ModelInfo) -> str:
    takes = (
        f"all of {info.channels}, and no fewer"
        if info.strategy == PLAIN
        else f"any of its channels ({', '.join(info.channels.names)}), by name"
    )
    return (
        f"A {info.architecture} with the strategy *{info.strategy}* for images of {info.image_size} x "
        f"{info.image_size} pixels and {info.num_classes} classes, made with anychan. It takes {takes}."
    )


def _intended_use(info: ModelInfo) -> str:
    named = "; ".join(info.classes[:_EXAMPLES])
    more = f"; and {info.num_classes - _EXAMPLES} more" if info.num_classes > _EXAMPLES else ""
    return (
        "Sorting images like those it was trained on into its classes, research on missing channels, and "
        "fine-tuning. Not for decisions about people, safety or health: it knows no class but its own and always names "
        "one.\n\n"
        f"Classes: {named}{more}."
    )


def _data(info: ModelInfo, trained: Mapping[str, Any] | None) -> str:
    if trained is None:
        return "No record of the training is beside the model, so what it was trained on is not known."
    data, config = trained["data"], trained["config"]
    counts = ", ".join(f"{count:,} {split}" for split, count in data["splits"].items())
    how = (
        "No weight was trained: it was adapted from the run " + trained["adapted_from"]["name"]
        if "adapted_from" in trained
        else f"{trained['epochs']} epochs, seed {trained['seed']}, channel sampling *{config['channel_sampling']}*, "
        f"objective *{config['objective']['name']}*"
    )
    statistics = ", ".join(f"{c.name} {c.mean:.4f} ± {c.std:.4f}" for c in info.channels)
    measured = [channel.name for channel in info.channels if channel.units == MEASURED]
    scale = f"on a scale of 0 to 1 ({', '.join(measured)}: as measured)" if measured else "on a scale of 0 to 1"
    commits = " and ".join(dict.fromkeys(f"`{one['commit'] or 'unknown'}`" for one in trained_by(trained)))
    return (
        f"{data['name']} ({data['layout']}): {counts} images. {how}. Commit {commits}.\n\n"
        f"Pixels, {scale}, are normalised by the training images' mean ± deviation: {statistics}."
    )


def _results(info: ModelInfo, evaluated: Mapping[str, Any] | None) -> str:
    if evaluated is None:
        return f"It was not evaluated on the split *{_SPLIT}*, so how good it is is not known."
    rows = [row for row in evaluated["results"] if not row["fill"]]
    lines = [
        "| channels | images | accuracy | 95 % interval | top 5 | retention |",
        "|:---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        low, high = row["accuracy_interval"]
        kept = "" if row["retention"] is None else f"{row['retention']:.1%}"
        interval = f"{low:.1%} to {high:.1%}"
        top5 = "-" if row["top5"] is None else f"{row['top5']:.1%}"
        cells = (row["subset"], f"{row['n']:,}", f"{row['accuracy']:.1%}", interval, top5, kept)
        lines.append(f"| {' | '.join(cells)} |")
    where = f"{evaluated['data']['name']}, split *{evaluated['split']}*"
    return (
        f"Of {where}, by the channels that the model was shown. Intervals are Wilson's; retention is accuracy over "
        f"that on all channels ({info.channels}).\n\n" + "\n".join(lines)
    )


def _limits(info: ModelInfo, evaluated: Mapping[str, Any] | None) -> str:
    limits = [
        f"An image is cut to its middle square and resized to {info.image_size} pixels; what is small in it is lost.",
        "An image of none of its classes is given one of them all the same; the probabilities are theirs alone.",
        "Pictures of another kind, camera or light than the training images may be answered much worse.",
    ]
    rows = [] if evaluated is None else [row for row in evaluated["results"] if not row["fill"]]
    if rows:
        worst = min(rows, key=lambda row: row["accuracy"])
        limits.append(f"On {worst['subset']} alone it is right about {worst['accuracy']:.1%} of its test images.")
        classes = [found for found in rows[0]["per_class"] if found["recall"] is not None]
        if classes:
            hard = min(classes, key=lambda found: found["recall"])
            limits.append(
                f"On {rows[0]['subset']} it finds fewest of the class *{hard['class']}*: {hard['recall']:.1%}."
            )
    if info.strategy == PLAIN:
        limits.append(f"It is a plain model: it takes {info.channels} together, and no subset.")
    elif info.kept_subsets:
        kept = ", ".join(map(str, info.kept_subsets))
        limits.append(f"It has normalisation statistics for {kept}, and takes no other subset.")
    return "\n".join(f"- {limit}" for limit in limits)


def _use(info: ModelInfo) -> str:
    channels = str(info.channels if info.strategy == PLAIN or len(info.channels) < 2 else info.channels[:2])
    return (
        "```python\nimport anychan\n\n"
        'pretrained = anychan.PretrainedModel.from_pretrained("FOLDER OR HUB NAME")\n'
        "predictor = anychan.Predictor(pretrained.model, pretrained.info)\n"
        f'anychan.predict(predictor, "photo.jpg", channels="{channels}")\n```\n\n'
        f"On the command line: `anychan predict FOLDER photo.jpg --channels {channels}`."
    )
