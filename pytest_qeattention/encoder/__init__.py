"""Vectors of tests, functions, texts and failures from a small attention network that runs on the compiled core.

    encoder.py      Encoder: what others call; computes a vector once and keeps it
    shipped.py      the encoder of this package: its tokens and its network
    minilm.py       MiniLM by the weights of an installed distribution; wordpiece.py reads text for it
    tokens.py       functions and texts as tokens
    network.py      sequences of tokens in, unit vectors out
    parameters.py   architecture, and the arrays of a network by name
    reference.py    the same network in NumPy: fallback and oracle
    weights.py      the file that holds an encoder

PYTEST_DONT_REWRITE
"""

from __future__ import annotations
