"""What the programs of this folder share. Examples on real data lie beside this folder; their code is used here too."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "examples" / "benchmarks" / "results"
CELLS = ROOT / "examples" / "cells"

for folder in (ROOT / "examples" / "real", ROOT):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
