"""`python -m tapekeeper`."""

from __future__ import annotations

import sys

from tapekeeper.cli.main import main

sys.exit(main())
