# What the compiled walks over syntax trees share.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawRealloc
from libc.math cimport fabs
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset, strlen

import ast
import sys

from pytest_qeattention.syntax import nodes as syntax_nodes
from pytest_qeattention.syntax.assertions import ASSERTIONS
from pytest_qeattention.syntax.words import MEMO_LIMIT as _MEMO_LIMIT

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

cdef size_t MEMO_LIMIT = _MEMO_LIMIT
cdef object NAMING_KINDS = syntax_nodes.NAMING_KINDS
cdef object LITERAL_KINDS = syntax_nodes.LITERAL_KINDS
cdef object SKIPPED_FIELDS = syntax_nodes.SKIPPED_FIELDS
cdef object ABSENT = syntax_nodes.ABSENT
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

include "syntax_buffers.pxi"
include "syntax_texts.pxi"
include "syntax_words.pxi"
include "syntax_tree.pxi"
include "syntax_constants.pxi"
include "syntax_assertions.pxi"
