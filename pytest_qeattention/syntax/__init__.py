"""Functions as they are written: what the evidence of similarity and the encoder both read of a syntax tree.

    words.py        words of texts and their parts
    nodes.py        kinds of nodes: which are literals or carry names, and how constants are bucketed
    assertions.py   unittest's assertions as what pytest would write
    twins.py        the compiled twin of a module, or why there is none

PYTEST_DONT_REWRITE
"""

from __future__ import annotations
