# Constants by type and order of magnitude.

cdef class Buckets:
    """Name constants as `nodes.literal_bucket` does."""

    cdef Texts texts
    cdef int32_t buckets[2][5]
    cdef int32_t numbers[2][5]
    cdef int32_t text_none, text_true, text_false, text_ellipsis

    def __cinit__(self, Texts texts not None):
        cdef int i
        self.texts = texts
        for i in range(5):
            self.buckets[0][i] = texts.named(f"str{i}")
            self.buckets[1][i] = texts.named(f"bytes{i}")
            self.numbers[0][i] = texts.named(f"int{i}")
            self.numbers[1][i] = texts.named(f"float{i}")
        self.text_none = texts.named("None")
        self.text_true = texts.named("True")
        self.text_false = texts.named("False")
        self.text_ellipsis = texts.named("Ellipsis")

    cdef int32_t bucket(self, PyObject *value) except -1:
        """Return the text of `nodes.literal_bucket`."""
        cdef Py_ssize_t size
        cdef long long whole
        cdef double number
        cdef int overflow = 0
        if PyUnicode_CheckExact(value) or PyBytes_CheckExact(value):
            size = PyUnicode_GET_LENGTH(value) if PyUnicode_CheckExact(value) else PyBytes_Size(value)
            return self.buckets[not PyUnicode_CheckExact(value)][
                0 if size < 2 else 1 if size < 8 else 2 if size < 32 else 3 if size < 128 else 4
            ]
        if value == <PyObject *> None:
            return self.text_none
        if value == <PyObject *> True:
            return self.text_true
        if value == <PyObject *> False:
            return self.text_false
        if value == <PyObject *> ELLIPSIS:
            return self.text_ellipsis
        if PyLong_CheckExact(value):
            whole = PyLong_AsLongLongAndOverflow(value, &overflow)
            number = 1e9 if overflow else fabs(<double> whole)
        elif PyFloat_CheckExact(value):
            number = fabs(PyFloat_AS_DOUBLE(value))
        else:
            return self.texts.named(syntax_nodes.literal_bucket(<object> value))
        return self.numbers[not PyLong_CheckExact(value)][
            0 if number == 0 else 1 if number == 1 else 2 if number < 10 else 3 if number < 1000 else 4
        ]
