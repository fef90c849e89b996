"""What an error says, for a message of ours."""

from __future__ import annotations

from pathlib import Path


def first_line(error: BaseException) -> str:
    """The first line that an error says anything in, or the name of its type where it says nothing.

    Example:
        >>> first_line(ValueError("\\n no such thing\\nand a page of where")), first_line(EOFError())
        ('no such thing', 'EOFError')
    """
    lines = map(str.strip, str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


def unwritten(path: Path, error: Exception) -> OSError:
    """The system's error that a library's writer, which names no errno, stands for."""
    return OSError(f"{path} cannot be written (is the disk full?): {first_line(error)}")
