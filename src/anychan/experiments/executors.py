"""How the runs of an ablation are made: one after another, several at once, or by Ray on as many machines as it has.

What they cost is measured afterwards (`ablate`): beside other runs it would be that of a busy machine.

Ray's machines must see the run folders and the data at the same paths, and have anychan installed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from anychan.experiments.completing import attempt
from anychan.experiments.pool import Task, work_through
from anychan.training import TrainConfig

# Of each run what went wrong as a sentence, or None.
Executor = Callable[..., list[str | None]]  # of configurations and a split; some take more


def one_after_another(configs: Sequence[TrainConfig], split: str) -> list[str | None]:
    """Make runs in this process; see `attempt` for what is raised."""
    return [attempt(config, split) for config in configs]


def at_once(configs: Sequence[TrainConfig], split: str, *, workers: int = 2) -> list[str | None]:
    """Make runs in processes of their own, as many at once as there are workers; see `work_through`.

    What each prints goes to a log beside its folder. After one that raises an OSError (see `attempt`) none is begun;
    those that run are let to their end.

    Raises:
        ValueError: for fewer than one worker.
        InterruptedRunError: if it was interrupted.
    """
    tasks = [
        Task(str(config.out), partial(attempt, config, split), config.out.with_name(f"{config.out.name}.log"))
        for config in configs
    ]
    return list(work_through(tasks, workers).values())


def by_ray(configs: Sequence[TrainConfig], split: str) -> list[str | None]:
    """Make runs as tasks of Ray: in the cluster that RAY_ADDRESS names, else on this machine.

    A run takes a GPU where the cluster has any, and a process of its own. One whose process dies is noted as failed,
    and goes on from its checkpoint when the ablation is asked for again.

    Raises:
        ValueError: without Ray.
        OSError: see `attempt`.
    """
    try:
        import ray
    except ImportError as error:
        raise ValueError("executor 'ray' needs Ray: pip install anychan[ray]") from error
    ours = not ray.is_initialized()
    if ours:
        ray.init(log_to_driver=False)
    try:
        gpus = bool(ray.cluster_resources().get("GPU", 0))
        pending = []
        for config in configs:
            gpu = int(gpus and config.device in ("auto", "cuda"))
            task = ray.remote(num_cpus=1, num_gpus=gpu, max_calls=1, max_retries=0)(_attempt_at)
            pending.append(task.remote(str(Path.cwd()), config.as_given(), split))
        return [_outcome(ray, task) for task in pending]
    finally:
        if ours:
            ray.shutdown()


def _attempt_at(place: str, settings: dict[str, Any], split: str) -> str | None:
    os.chdir(place)  # a run's folder and data may be named from there
    return attempt(TrainConfig.from_dict(settings), split)


def _outcome(ray: Any, task: Any) -> str | None:
    try:
        failed: str | None = ray.get(task)
    except OSError:
        raise
    except ray.exceptions.RayError as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return failed


EXECUTORS: dict[str, Executor] = {"sequential": one_after_another, "processes": at_once, "ray": by_ray}
