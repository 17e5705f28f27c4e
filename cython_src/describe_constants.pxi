# Constants: what they are called in bags, and how they are told apart in forms.

cdef class Constants:
    """Name and write the values of constants as `forms.literal_bucket` and `forms.constant_text` do."""

    cdef Texts texts
    cdef int32_t buckets[2][5]
    cdef int32_t numbers[2][5]
    cdef int32_t text_none, text_true, text_false, text_ellipsis
    cdef int32_t type_str, type_bytes, type_int, type_float, type_bool, type_none

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
        self.type_str = texts.named("str")
        self.type_bytes = texts.named("bytes")
        self.type_int = texts.named("int")
        self.type_float = texts.named("float")
        self.type_bool = texts.named("bool")
        self.type_none = texts.named("NoneType")

    cdef int32_t bucket(self, PyObject *value) except -1:
        """Return the text of `forms.literal_bucket`."""
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
            return self.texts.named(forms.literal_bucket(<object> value))
        return self.numbers[not PyLong_CheckExact(value)][
            0 if number == 0 else 1 if number == 1 else 2 if number < 10 else 3 if number < 1000 else 4
        ]

    cdef int32_t type_of(self, PyObject *value) except -1:
        """Return the text of the name of a constant's type."""
        if PyUnicode_CheckExact(value):
            return self.type_str
        if PyLong_CheckExact(value):
            return self.type_int
        if PyFloat_CheckExact(value):
            return self.type_float
        if value == <PyObject *> None:
            return self.type_none
        if value == <PyObject *> True or value == <PyObject *> False:
            return self.type_bool
        if PyBytes_CheckExact(value):
            return self.type_bytes
        return self.texts.named(type(<object> value).__name__)

    cdef int write(self, PyObject *value, Chars *to) except -1:
        """Write `forms.constant_text`; text and small numbers without a call of Python."""
        cdef Text *name
        cdef Py_ssize_t size
        cdef const char *utf8
        cdef int overflow = 0
        if PyLong_CheckExact(value):
            PyLong_AsLongLongAndOverflow(value, &overflow)
        elif not PyUnicode_CheckExact(value) and not PyFloat_CheckExact(value):
            overflow = 1
        if overflow:
            written = forms.constant_text(<object> value).encode("utf-8", "surrogatepass")
            return put_chars(to, PyBytes_AS_STRING(written), PyBytes_GET_SIZE(written))
        name = &self.texts.at[self.type_of(value)]
        put_chars(to, name.utf8, name.size)
        put_chars(to, b" ", 1)
        written = repr(<object> value)
        utf8 = PyUnicode_AsUTF8AndSize(<PyObject *> written, &size)
        return put_chars(to, utf8, size)
