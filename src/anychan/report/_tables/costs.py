"""The cells and tables of a report that say what one image costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anychan.report._reading.records import Cost, Run, Spread
from anychan.report._sentences import numbers as fmt
from anychan.report._tables.table import Cell, Column, Group, Table


def cost_table(runs: Sequence[Run], split: str) -> Table | None:
    """What one image costs in every run and subset, or None where nothing was profiled."""
    profiled = [(run, _costs(run, split)) for run in runs]
    costs = [cost for _, found in profiled for _, cost in found]
    if not costs:
        return None
    batches = sorted({batch for cost in costs for batch in cost.latency})
    columns = (
        Column("channels", numeric=False),
        Column("parameters"),
        Column("MACs", "multiply-accumulates of one image, of the channels given"),
        Column("kernel MACs", "multiply-accumulates of making the kernel, once a call"),
        Column("depth", "weighted layers on the longest path from input to logits"),
        *(Column(f"ms, batch of {batch}", "median and quartiles of the latency of a whole batch") for batch in batches),
        *memory_columns(costs),
    )
    groups = tuple(
        Group(run.name if len(runs) > 1 else "", tuple(_cost_row(subset, cost, costs) for subset, cost in found))
        for run, found in profiled
        if found
    )
    return Table(f"Cost of one image{conditions(costs)}.", columns, groups)


def _costs(run: Run, split: str) -> list[tuple[str, Cost]]:
    evaluation = run.on(split)
    results = evaluation.results if evaluation else ()
    return [(result.subset, result.cost) for result in results if result.cost is not None]


def memory_columns(costs: Sequence[Cost]) -> tuple[Column, ...]:
    """Those of peak memory: of which batch it is where that is the same for all, and of training where it is known."""
    batches = {max(cost.latency) for cost in costs if cost.latency}
    of = f", batch of {batches.pop()}" if len(batches) == 1 else ""
    whose = "of the largest batch that was timed"
    training = any(cost.training_bytes is not None for cost in costs)
    return (
        Column(f"MiB at inference{of}", f"peak memory of inference {whose}"),
        *([Column(f"MiB in training{of}", f"peak memory of a training step {whose}")] if training else []),
    )


def memory_cells(cost: Cost, costs: Sequence[Cost]) -> tuple[Cell, ...]:
    """What stands in `memory_columns` of all costs for one of them."""
    sizes = (cost.inference_bytes, cost.training_bytes)
    return tuple(Cell(fmt.mebibytes(size), sort=size) for size in sizes[: len(memory_columns(costs))])


def _cost_row(subset: str, cost: Cost, costs: Sequence[Cost]) -> tuple[Cell, ...]:
    batches = sorted({batch for one in costs for batch in one.latency})
    return (
        Cell(subset),
        Cell(fmt.scaled(cost.parameters), sort=cost.parameters),
        Cell(fmt.scaled(cost.macs), sort=cost.macs),
        Cell(fmt.scaled(cost.kernel_macs), sort=cost.kernel_macs),
        Cell(fmt.count(cost.depth), sort=cost.depth),
        *(latency_cell(cost.latency.get(batch)) for batch in batches),
        *memory_cells(cost, costs),
    )


def latency_cell(spread: Spread | None) -> Cell:
    if spread is None:
        return Cell("")
    quartiles = f"{fmt.milliseconds(spread.q25)}–{fmt.milliseconds(spread.q75)}"
    return Cell(fmt.milliseconds(spread.median), quartiles, spread.median)


def conditions(costs: Sequence[Cost]) -> str:
    """Where and at what size the costs were measured, every different answer once."""
    sizes = sorted({cost.image_size for cost in costs if cost.image_size is not None})
    places = sorted({where_measured(cost.device, cost.hardware, cost.threads) for cost in costs})
    pixels = f" of {' or '.join(f'{s}×{s}' for s in sizes)} pixels" if sizes else ""
    return f"{pixels}, measured on {' and on '.join(places)}"


def where_measured(device: str, hardware: Mapping[str, Any], threads: Any) -> str:
    """On which processor, and on how many threads of a CPU."""
    name = hardware.get("cpu" if device == "cpu" else "gpu") or f"a {device} that is not recorded"
    return f"{name}, {fmt.counted(threads, 'thread')}" if threads and device == "cpu" else str(name)
