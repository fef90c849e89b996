"""``anychan sweep``: the options of ``anychan train``, what is varied, and how often."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anychan.cli._common import Command, print_record
from anychan.cli._train import check_data_is_there, train_options, warn_of_kept

if TYPE_CHECKING:
    from anychan.experiments import SearchSpace


# What `train` says of these is not so here; None: not an option, though a run's config.yaml holds it.
_SAID = {
    "out": "the search's folder, to make or to go on in; it holds a run folder for each trial.",
    "seed": "of everything random in a run, one for all trials.",
    "resume": None,
}


def _options(parser: Any) -> None:
    train_options(parser)
    for action in parser._actions:
        if action.dest in _SAID:
            action.help = _SAID[action.dest] or argparse.SUPPRESS
    parser.usage = parser.usage.replace(" --out RUN", " --out FOLDER --space SPACE.yaml")
    parser.add_argument("--space", type=Path, required=True, metavar="SPACE.yaml", help="what is varied")
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="runs in all")
    # With an underscore, as words come to jsonargparse from the command line.
    parser.add_argument("--proposals_seed", type=int, default=0, metavar="SEED", help="of what is proposed")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _sweep(options: Any) -> int:
    check_data_is_there(options.data)
    from anychan.experiments import SearchSpace, sweep, sweep_table

    # The groups as they were given: what is left out follows from what a trial chooses.
    settings = {name: _written(value) for name, value in vars(options).items()}
    space, trials, seed = (settings.pop(name) for name in ("space", "trials", "proposals_seed"))
    as_json, recipes = settings.pop("json"), settings.pop("config")
    searched = SearchSpace.read(Path(space))
    if recipes:
        warn_of_kept(recipes, _kept(settings, searched))
    record = sweep(settings, searched, trials, seed)
    print_record(record, sweep_table, as_json)
    return 0 if record["best"] else 1


def _kept(settings: dict[str, Any], space: SearchSpace) -> dict[str, tuple[Any, Any]]:
    """Settings that stay as they are in all trials, though what they followed from is searched; see `kept_choices`."""
    from anychan.experiments.settings import configuration
    from anychan.training.config import kept_choices

    base = configuration(settings)
    kept: dict[str, tuple[Any, Any]] = {}
    for name in ("strategy", "optimizer.name"):
        for value in space.settings.get(name, ()):
            try:
                kept |= kept_choices(base, space.applied(settings, {name: value}))
            except ValueError:  # which its trials say
                continue
    return {name: values for name, values in kept.items() if name not in space.settings}


def _written(value: Any) -> Any:
    """A setting as YAML would hold it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: _written(item) for name, item in dataclasses.asdict(value).items()}
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


SWEEP = Command(
    "search settings that do best on validation, a run each",
    """anychan sweep --data photographs.zip --model wide6 --epochs 4 --held-out 2400 --space space.yaml --out runs/sweep
cat space.yaml
  model_options.width: {low: 32, high: 96, step: 16}
  optimizer.learning_rate: {low: 5.0e-4, high: 4.0e-3, log: true}
  model_options.kernel_size: [3, 5]""",
    _options,
    _sweep,
    """Trials are judged by their accuracy on validation, on all channels, or on
those of --fixed-subset where given. The same command goes on with a search
that was interrupted, and with more --trials adds to it.""",
)
