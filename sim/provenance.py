"""Which program a simulation was run with."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

import p2pfed

_GIT_S_MAX = 10.0  # far above what a look at one commit takes


def provenance() -> dict[str, Any]:
    """Return versions as JSON knows them; those of which the bits of a result may depend.

    `commit` is that of the repository that p2pfed is run from, with `-dirty` after it where files
    differ, and None where p2pfed is installed without one.
    """
    return {
        "p2pfed": p2pfed.__version__,
        "commit": _commit(Path(p2pfed.__file__).parents[1]),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "numpy": np.__version__,
        "machine": f"{sys.platform} {platform.machine()}",
    }


def _commit(root: Path) -> str | None:
    git = shutil.which("git")
    # An environment inside somebody else's repository is not that repository's commit.
    if git is None or not (root / ".git").exists():
        return None
    words = [git, "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(  # noqa: S603 - fixed words and our own folder
            words, capture_output=True, text=True, timeout=_GIT_S_MAX, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
