"""Models as files that run without anychan: ONNX, or a program of torch.export.

The package is ``exporting``, not ``export``: a module of that name would hide the function `anychan.export`.
"""

from anychan.exporting._check import CheckFailedError
from anychan.exporting.export import export
from anychan.exporting.record import Exported

__all__ = ["CheckFailedError", "Exported", "export"]
