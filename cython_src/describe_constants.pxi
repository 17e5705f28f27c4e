# Constants: what their types are called in paths, and how they are told apart in forms.

cdef class Constants(Buckets):
    """Name the types of constants, and write their values as `forms.constant_text` does."""

    cdef int32_t type_str, type_bytes, type_int, type_float, type_bool, type_none

    def __cinit__(self, Texts texts not None):
        self.type_str = texts.named("str")
        self.type_bytes = texts.named("bytes")
        self.type_int = texts.named("int")
        self.type_float = texts.named("float")
        self.type_bool = texts.named("bool")
        self.type_none = texts.named("NoneType")

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
