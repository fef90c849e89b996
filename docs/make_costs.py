"""Write docs/theory/costs.json: what networks and stems cost, which the theory pages quote.

Parameters and MACs follow from the code alone, so the same bytes come each time. Branches of a layer are folded.

python docs/make_costs.py [FOLDER]     FOLDER: the project, or a copy of it to write into
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from anychan.adaptation import specialize
from anychan.channels import Channel, ChannelSet
from anychan.cost import count_macs, depth
from anychan.models import create_model
from anychan.nn import get_strategy

PROJECT = Path(__file__).parents[1]
CLASSES, SIZES = 50, (64, 84, 96, 128)
PLANES, KERNEL = 64, 7
NETWORKS: dict[str, list[dict[str, Any]]] = {
    "wide2": [{}],
    "wide3": [{}],
    "wide4": [{}],
    "wide5": [{}],
    "wide6": [{}],
    "parallel6": [{}],
    "ghost2": [{}],
    "residual_attention3": [{}],
    "rrdb3": [{}],
    "attention_rrdb_3x3": [{}],
    "attention_rrdb_7x7": [{}],
    "graph6": [{}],
    "graph4": [{}],
    "patch_transformer": [{"layers": 2}, {"layers": 3}, {"layers": 4}],
    "patch_recurrent": [{"layers": 1}, {"layers": 2}],
    "resnet18": [{}],
    "resnet18_half": [{}],
    "resnet18_small": [{}],
    "resnet18_pooled": [{}],
    "resnet34": [{}],
    "resnet34_half": [{}],
    "resnet34_small": [{}],
    "resnet34_pooled": [{}],
    "ghostnet_100": [{}],
}
STEMS: list[tuple[str, dict[str, Any]]] = [  # whose pages quote a size
    *((name, {}) for name in ("sliced", "attentive", "by_count", "generated", "masked", "spectral", "template")),
    ("template", {"templates": 4}),
]


def main(project: Path = PROJECT) -> None:
    networks = [network(name, options) for name, several in NETWORKS.items() for options in several]
    stems = [stem(name, options) for name, options in STEMS]
    text = json.dumps({"networks": networks, "stems": stems}, indent=1)
    (project / "docs" / "theory").mkdir(parents=True, exist_ok=True)
    (project / "docs" / "theory" / "costs.json").write_text(text + "\n", encoding="utf-8")


def network(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Parameters, depth, and MACs by image size, of an RGB network of 50 classes."""
    model = specialize(create_model(name, "RGB", CLASSES, model_options=options).eval(), "RGB")
    return {
        "name": name,
        "options": options,
        "classes": CLASSES,
        "parameters": sum(p.numel() for p in model.parameters()),
        "depth": depth(model, image_size=SIZES[0]),
        "macs": {str(size): count_macs(model, image_size=size).forward for size in SIZES},
    }


def stem(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Parameters of a 7x7 stem of 64 planes but for its bias, by the number of channels."""
    parameters = {}
    for count in (3, 13):
        channels = ChannelSet([Channel(f"B{i:02}", 0.4 + 0.1 * i) for i in range(count)])
        made = get_strategy(name)(count, PLANES, KERNEL, channels=channels, **options)
        parameters[str(count)] = sum(p.numel() for p in made.parameters()) - PLANES
    return {"name": name, "options": options, "planes": PLANES, "kernel": KERNEL, "parameters": parameters}


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
