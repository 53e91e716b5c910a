"""Search over topologies: texts that are drawn, changed and crossed, and evolution of them.

`random_text`, `mutate` and `crossover` make texts, which compile and are within `Limits`. `inherit` lets a model begin
with the parameters that its parent had. Operations of your own take a `Genome`, and `read` and `write` turn texts into
genomes and back. `evolve` searches, `load` reads a search from its store, and `report` writes a page about it. `Run`
and `sweep` are those of the package.
"""

from ..interface import Run as Run
from ..interface import RunResult as RunResult
from ..interface import SweepResult as SweepResult
from ..interface import sweep as sweep
from .crossing import crossover
from .evaluation import Steps
from .evolution import Options, evolve
from .genome import Gene, Genome, SearchError
from .individuals import Evolution, Individual
from .inheritance import inherit
from .journal import load
from .limits import Choices, Limits, Size, size_of
from .operations import OPERATIONS, Operation
from .printing import write
from .reading import read
from .report import report
from .setting import Setting
from .variation import mutate, random_text

__all__ = [
    "OPERATIONS", "Choices", "Evolution", "Gene", "Genome", "Individual", "Limits", "Operation", "Options",
    "SearchError", "Setting", "Size", "Steps", "crossover", "evolve", "inherit", "load", "mutate", "random_text",
    "read", "report", "size_of", "write",
]  # fmt: skip
