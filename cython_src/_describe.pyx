# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True, binding=True, embedsignature=False
"""Compiled twin of describe.py: the same `Description` of every function, bit for bit, in a fraction of the time.

A tree is laid out in an array once (syntax_tree.pxi); bags and forms are walks over that array. Identifiers are
numbered, and what is made of them is hashed once in a process (syntax_texts.pxi, describe_words.pxi). One function
is described at a time, whatever thread asks.
"""

from hashlib import blake2b
from threading import Lock

from pytest_qeattention.similarity import describe as plain
from pytest_qeattention.similarity import forms
from pytest_qeattention.similarity.bags import LARGEST_COUNT as _LARGEST_COUNT
from pytest_qeattention.similarity.words import word_features

include "syntax.pxi"

# A number of its own: a build that is left over says what it was built for.
INTERFACE = 3

cdef int LARGEST_COUNT = _LARGEST_COUNT
cdef object BUILTINS = plain.BUILTINS
cdef object DESCRIPTION = plain.Description
cdef object TYPE_PARAMETERS = syntax_nodes.TYPE_PARAMETERS

include "describe_counts.pxi"
include "describe_words.pxi"
include "describe_constants.pxi"
include "describe_bags.pxi"
include "describe_forms.pxi"

cdef object _lock = Lock()
cdef Describer _describer = Describer()


def describe(node, unit):
    """Describe the function *node*, whose source *unit* holds, as `describe.describe_plainly` does."""
    global _describer
    with _lock:
        if _describer.is_full():
            _describer = Describer()
        return _describer.describe(node, unit)
