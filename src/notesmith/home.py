"""The one folder outside runs that this project writes to."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """Folder for everything cached outside a run: ``$NOTESMITH_HOME`` or ``~/.notesmith``."""
    return Path(os.environ.get("NOTESMITH_HOME") or Path.home() / ".notesmith")
