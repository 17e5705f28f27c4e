"""Run the command line: ``python -m pytest_qeattention`` is ``qeattention``.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import sys

from pytest_qeattention.cli import main

if __name__ == "__main__":
    sys.exit(main())
