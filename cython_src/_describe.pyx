# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True, binding=True, embedsignature=False
"""Compiled twin of describe.py: the same `Description` of every function, bit for bit, in a fraction of the time.

A tree is laid out in an array once (describe_tree.pxi); bags and forms are walks over that array. Identifiers are
numbered, and what is made of them is hashed once in a process (describe_texts.pxi, describe_words.pxi). One function
is described at a time, whatever thread asks.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawRealloc
from libc.math cimport fabs
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset, strlen

import ast
import sys
from hashlib import blake2b
from threading import Lock

from pytest_qeattention.similarity import describe as plain
from pytest_qeattention.similarity import forms
from pytest_qeattention.similarity.bags import LARGEST_COUNT as _LARGEST_COUNT
from pytest_qeattention.similarity.words import MEMO_LIMIT as _MEMO_LIMIT
from pytest_qeattention.similarity.words import word_features

cdef extern from "Python.h":
    ctypedef struct PyObject:
        pass
    ctypedef struct PyTypeObject:
        pass
    PyTypeObject *Py_TYPE(PyObject *)
    void Py_INCREF(PyObject *)
    void Py_DECREF(PyObject *)
    void Py_XDECREF(PyObject *)
    PyObject *PyDict_GetItemWithError(PyObject *, PyObject *) except? NULL
    PyObject *PyObject_GenericGetDict(PyObject *, void *) except NULL
    bint PyList_Check(PyObject *)
    Py_ssize_t PyList_GET_SIZE(PyObject *)
    PyObject *PyList_GET_ITEM(PyObject *, Py_ssize_t)
    void PyUnicode_InternInPlace(PyObject **)
    const char *PyUnicode_AsUTF8AndSize(PyObject *, Py_ssize_t *) except NULL
    bint PyUnicode_CheckExact(PyObject *)
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject *)
    bint PyUnicode_IS_ASCII(object)
    bint PyBytes_CheckExact(PyObject *)
    Py_ssize_t PyBytes_Size(PyObject *)
    bint PyLong_CheckExact(PyObject *)
    long long PyLong_AsLongLongAndOverflow(PyObject *, int *) except? -1
    bint PyFloat_CheckExact(PyObject *)
    double PyFloat_AS_DOUBLE(PyObject *)

# A number of its own: a build that is left over says what it was built for.
INTERFACE = 2

cdef size_t MEMO_LIMIT = _MEMO_LIMIT
cdef int LARGEST_COUNT = _LARGEST_COUNT
cdef object BUILTINS = plain.BUILTINS
cdef object NAMING_KINDS = forms.NAMING_KINDS
cdef object LITERAL_KINDS = forms.LITERAL_KINDS
cdef object SKIPPED_FIELDS = forms.SKIPPED_FIELDS
cdef object TYPE_PARAMETERS = forms.TYPE_PARAMETERS
cdef object DESCRIPTION = plain.Description
cdef object ABSENT = forms.ABSENT
cdef object LOAD = ast.Load
cdef object ELLIPSIS = ...
# Held for as long as the module is: the names are looked up by their addresses.
cdef tuple NAMES = tuple(map(sys.intern, ("id", "ctx", "attr", "arg", "value", "name")))
cdef PyObject *ID = <PyObject *> NAMES[0]
cdef PyObject *CTX = <PyObject *> NAMES[1]
cdef PyObject *ATTR = <PyObject *> NAMES[2]
cdef PyObject *ARG = <PyObject *> NAMES[3]
cdef PyObject *VALUE = <PyObject *> NAMES[4]
cdef PyObject *NAME_FIELD = <PyObject *> NAMES[5]

include "describe_buffers.pxi"
include "describe_texts.pxi"
include "describe_words.pxi"
include "describe_tree.pxi"
include "describe_constants.pxi"
include "describe_bags.pxi"
include "describe_forms.pxi"

CODES = {
    ast.Name: NAME,
    ast.Attribute: ATTRIBUTE,
    ast.Constant: CONSTANT,
    ast.arg: ARGUMENT,
    ast.keyword: KEYWORD,
    ast.Expr: EXPRESSION,
    ast.Call: CALL,
    ast.FunctionDef: FUNCTION,
    ast.AsyncFunctionDef: FUNCTION,
    # `not` of a literal is none.
    ast.Not: OTHER,
}

cdef object _lock = Lock()
cdef Describer _describer = Describer()


def describe(node, unit):
    """Describe the function *node*, whose source *unit* holds, as `describe.describe_plainly` does."""
    global _describer
    with _lock:
        if _describer.is_full():
            _describer = Describer()
        return _describer.describe(node, unit)
