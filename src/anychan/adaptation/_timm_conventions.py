"""What timm asks a model for, answered for the body inside: names of parameters begin with ``body.``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_BODY = "body"
# What stands before the names of the body's parameters, and of those that are kept for a subset.
_BEFORE = rf"(?:{_BODY}|subset_statistics\.[^.]*)\."
_ANCHOR = re.compile(r"(?<![\[\\])\^")  # of a pattern's start; not the one that turns a set of letters round


class TimmConventions(nn.Module):
    """A module around a ``body``, to be handed to timm's optimisers, layer decay and data settings as the body was.

    What the body does not have, it does not have either.
    """

    body: nn.Module

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that weight decay should leave alone: the body's and the stems'."""
        return {
            ".".join(filter(None, (_BODY, path, name)))
            for path, module in self.body.named_modules()
            for name in getattr(module, "no_weight_decay", set)()
        }

    @property
    def group_matcher(self) -> Callable[..., Any]:
        """The body's, for layer decay: patterns of the names of parameters, a group each, or a function of a name.

        What is kept for a subset is in the group of the normalisation that it is kept for.
        """
        of_body: Any = self.body.group_matcher

        def matcher(*args: Any, **options: Any) -> Any:
            said = of_body(*args, **options)
            if callable(said):  # a function of a parameter's name
                return lambda name: said(re.sub(f"^{_BEFORE}", "", name).replace("/", "."))
            return {group: _inside_body(patterns) for group, patterns in said.items()}

        return matcher

    @property
    def set_grad_checkpointing(self) -> Any:
        """The body's switch for gradient checkpointing."""
        return self.body.set_grad_checkpointing

    @property
    def pretrained_cfg(self) -> Any:
        """The body's: how images were normalised when it was trained, among others."""
        return self.body.pretrained_cfg

    @property
    def default_cfg(self) -> Any:
        """The body's ``pretrained_cfg`` by its older name."""
        return self.body.default_cfg

    @property
    def feature_info(self) -> Any:
        """The body's, where it is a backbone: channels and reduction of each map."""
        return self.body.feature_info

    @property
    def num_classes(self) -> Any:
        """The body's number of classes."""
        return self.body.num_classes

    @property
    def num_features(self) -> Any:
        """The body's number of features before its head."""
        return self.body.num_features


def _inside_body(said: Any) -> Any:
    """A pattern, or pairs of a pattern and a group, of the body's names and of what is kept for subsets by them.

    That has slashes in the place of dots.
    """
    if isinstance(said, str):
        return _BEFORE + "(?:" + _ANCHOR.sub("", said).replace(r"\.", "[./]") + ")"
    return said if said is None else [(_inside_body(pattern), group) for pattern, group in said]
