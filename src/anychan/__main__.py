"""``python -m anychan``, as torchrun starts it."""

import sys

from anychan.cli import main

sys.exit(main())
