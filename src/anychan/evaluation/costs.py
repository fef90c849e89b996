"""The cost of evaluated runs, measured apart from their answers: later, and on a machine that has nothing else to do.

What a trained network costs does not depend on the values of its weights, so the records of a run are enough: where its
weights are elsewhere, the network that model.json describes is measured with random ones. A cost says so under
``apart``, as the rest of its row may come from another machine.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from anychan._files import replacing
from anychan.adaptation import AnyChannelModel
from anychan.channels import ChannelSet
from anychan.cost import profile
from anychan.environment import environment
from anychan.evaluation._folder import read_record, record_path, sha256, write_record, writing
from anychan.models.files import DESCRIPTION, WEIGHTS, ModelInfo, load_model, read_info


def record_costs(
    runs: Sequence[Path | str],
    split: str = "test",
    *,
    device: str = "cpu",
    batch_size: int = 32,
    whole: bool = False,
    replace: bool = False,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Measure what evaluated runs cost, one after another, and write it into the rows of their evaluations.

    It is measured for each subset that the model answers by itself, at the run's image size. All runs are looked at
    before the first is measured, and each is written when it is done: interrupted, the same call goes on.

    Args:
        runs: folders with model.json and ``evaluation/<split>.json``; model.safetensors may be missing.
        split: which evaluation of theirs.
        device: where to measure latency and memory.
        batch_size: see ``anychan.cost.profile``.
        whole: measure a call with all of a model's channels alone.
        replace: measure again what has a cost; otherwise it is left as it is.
        progress: show a progress bar.

    Returns:
        A record a run: ``run``, ``split``, ``device``, the ``weights`` ("own", or "random" where they are missing), and
        the subsets whose cost was ``measured`` and those that had one, which was ``kept``.

    Raises:
        FileNotFoundError: if a run, its model.json or its evaluation is not there.
        ValueError: for a damaged file, an evaluation of another model, a subset that the model has no statistics for,
            a batch size that is not positive, or a device there is not.
    """
    folders = [Path(run) for run in runs]
    for folder in folders:
        _check(folder, split)
    made = {key: value for key, value in environment().items() if key != "hardware"}  # each cost has its own
    return [
        _record(folder, split, made, device=device, batch_size=batch_size, whole=whole, replace=replace)
        for folder in _shown(folders, split, progress)
    ]


def costs_table(records: Iterable[Mapping[str, Any]]) -> str:
    """What ``record_costs`` returns as lines for people, one a run."""
    return "\n".join(map(_line, records))


def _check(run: Path, split: str) -> None:
    """Refuse what is no run, is not evaluated, or is evaluated with another model."""
    if not run.is_dir():  # a model file or a packaged model is no place to write to
        raise FileNotFoundError(f"{run} is no run folder")
    record, info = read_record(run, split), read_info(run)
    path, weights = record_path(run, split), run / WEIGHTS
    if weights.is_file() and record["model_sha256"] != sha256(weights):
        raise ValueError(f"{path} is about another model than {weights}: evaluate it again")
    names, classes = ChannelSet.from_dict(record["channels"]).names, tuple(record["classes"])
    for what, there, own in (("channels", names, info.channels.names), ("classes", classes, info.classes)):
        if there != own:
            raise ValueError(f"{path} is about {what} {','.join(there)}, but {run / DESCRIPTION} has {','.join(own)}")


def _record(
    run: Path, split: str, made: Mapping[str, Any], *, device: str, batch_size: int, whole: bool, replace: bool
) -> dict[str, Any]:
    answered = read_record(run, split)
    every = str(ChannelSet.from_dict(answered["channels"]))
    own = [row for row in answered["results"] if not row["fill"] and (not whole or row["subset"] == every)]
    kept = [row["subset"] for row in own if not replace and row["cost"]]
    measured: dict[str, dict[str, Any]] = {row["subset"]: {} for row in own if row["subset"] not in kept}
    weights: Literal["own", "random"] = "own" if (run / WEIGHTS).is_file() else "random"
    if measured:
        model, info = _model(run, weights)
        try:
            for name in measured:
                subset = info.channels.subset(name)
                found = profile(model, subset, info.image_size, batch_size, device=device).to_dict()
                now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
                measured[name] = {**found, "apart": {"created": now, "weights": weights, **made}}
        except ValueError as error:  # which of many runs
            raise ValueError(f"{run}: {error}") from error
        with writing(run, split):  # another process may have written there meanwhile
            _check(run, split)
            record = read_record(run, split)
            for row in record["results"]:
                if not row["fill"] and row["subset"] in measured:
                    row["cost"] = measured[row["subset"]]
            with replacing(record_path(run, split)) as temporary:
                write_record(record, temporary)
    return {
        "run": str(run),
        "split": split,
        "device": device,
        "weights": weights,
        "measured": list(measured),
        "kept": kept,
    }


def _model(run: Path, weights: Literal["own", "random"]) -> tuple[AnyChannelModel, ModelInfo]:
    if weights == "own":
        return load_model(run)
    info = read_info(run)
    return info.create_annealed().eval(), info


def _shown(runs: Sequence[Path], split: str, progress: bool) -> Iterable[Path]:
    if not progress:
        return runs
    from tqdm import tqdm

    bar: Iterable[Path] = tqdm(runs, desc=f"cost on {split}", unit="run", leave=False)
    return bar


def _line(record: Mapping[str, Any]) -> str:
    measured, kept = record["measured"], record["kept"]
    said = []
    if measured:
        random = ", with random weights, as its own are not there" if record["weights"] == "random" else ""
        said.append(f"cost of {' '.join(measured)} measured on {record['device']}{random}")
    if kept:
        said.append(f"{' '.join(kept)} had a cost, which is kept (--replace measures it again)")
    return f"{record['run']}, {record['split']}: {'; '.join(said) or 'no subset that it answers by itself'}"
