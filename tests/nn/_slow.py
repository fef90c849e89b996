"""A convolution in plain loops of numpy, float64: what the strategies' own references are built on."""

from __future__ import annotations

import numpy as np
import torch


def conv2d(x_SHW: np.ndarray, weight_OSkk: np.ndarray, stride: int = 1, padding: int = 0) -> np.ndarray:
    """One image convolved with zero padding, without a bias; (O, H', W')."""
    planes = [np.pad(plane, padding) for plane in x_SHW]
    kh, kw = weight_OSkk.shape[2:]
    rows = (planes[0].shape[0] - kh) // stride + 1
    columns = (planes[0].shape[1] - kw) // stride + 1
    y = np.zeros((len(weight_OSkk), rows, columns))
    for o, i, j in np.ndindex(y.shape):
        for kernel, plane in zip(weight_OSkk[o], planes, strict=True):
            top, left = i * stride, j * stride
            y[o, i, j] += float((kernel * plane[top : top + kh, left : left + kw]).sum())
    return y


def gelu(z: float) -> float:
    """The exact one, by the error function."""
    return z * 0.5 * (1 + float(torch.special.erf(torch.tensor(z / 2**0.5, dtype=torch.float64))))


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def softmax(scores: list[float]) -> list[float]:
    powers = [float(np.exp(score - max(scores))) for score in scores]
    return [power / sum(powers) for power in powers]
