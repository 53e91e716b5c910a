"""Without Dask, the module says what to install, and all else works."""

from __future__ import annotations

import subprocess
import sys


def test_the_error_names_the_extra() -> None:
    code = (
        "import sys\nsys.modules['distributed'] = None\nimport neuromorph as nm\nnm.compile\n"
        "try:\n    import neuromorph.distributed\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "neuromorph.distributed needs Dask: pip install 'neuromorph[distributed]'"
