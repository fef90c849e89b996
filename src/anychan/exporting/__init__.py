"""Models as files that run without anychan: ONNX, or a program of torch.export.

The package is ``exporting``, not ``export``: a module of that name would hide the function `anychan.export`.
"""

from anychan.exporting._check import CheckFailedError
from anychan.exporting.record import Exported
from anychan.exporting.writing import export

__all__ = ["CheckFailedError", "Exported", "export"]
