# Every identifier and name of a node's kind, once: its bytes, the hashes of what is made of it, and what the function
# at hand does with it.

cdef enum:
    PLAIN
    NAME_LEAF
    ATTRIBUTE_TEXT
    ATTRIBUTE_LEAF
    ARGUMENT_TEXT
    ARGUMENT_LEAF
    KEYWORD_TEXT
    KEYWORD_LEAF
    DEFINITION
    OUTSIDE
    GIVEN
    CONSTANT_LEAF
    N_PREFIXES
    # Not a prefix: the place of a name, which is numbered if it turns out to be local.
    PLACE = 15

cdef const char *PREFIXES[N_PREFIXES]
PREFIXES[:] = [b"", b"Name:", b".", b"Attribute:", b"arg:", b"arg.", b"kw:", b"keyword:", b"def:", b"N:", b"A:", b"Constant:"]

cdef size_t PREFIX_SIZES[N_PREFIXES]
for _number in range(N_PREFIXES):
    PREFIX_SIZES[_number] = strlen(PREFIXES[_number])

cdef uint32_t CRC_TABLE[256]


cdef void _fill_crc_table() noexcept:
    cdef uint32_t value
    cdef int i, j
    for i in range(256):
        value = i
        for j in range(8):
            value = (value >> 1) ^ (0xEDB88320U if value & 1 else 0)
        CRC_TABLE[i] = value


_fill_crc_table()


cdef inline uint32_t crc_more(uint32_t state, const char *text, size_t size) noexcept nogil:
    cdef size_t i
    for i in range(size):
        state = CRC_TABLE[(state ^ <unsigned char> text[i]) & 255] ^ (state >> 8)
    return state


cdef struct Text:
    PyObject *string
    PyObject *encoded
    const char *utf8
    size_t size
    uint32_t hashes[N_PREFIXES]
    uint32_t hashed
    int assertion
    # Numbers of the last function in which the name was loaded, bound, declared global, an argument, numbered.
    int64_t loaded
    int64_t bound
    int64_t declared
    int64_t argument
    int64_t numbered
    int32_t number


cdef class Texts:
    """Number strings; strings are told apart by identity, since all that are kept are interned."""

    cdef Text *at
    cdef size_t size, room
    cdef int32_t *slots
    cdef size_t mask

    def __cinit__(self):
        self._empty_slots(4096)

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.size):
            Py_XDECREF(self.at[i].string)
            Py_XDECREF(self.at[i].encoded)
        PyMem_RawFree(self.at)
        PyMem_RawFree(self.slots)

    cdef int _empty_slots(self, size_t room) except -1:
        cdef int32_t *slots = <int32_t *> PyMem_RawRealloc(self.slots, room * sizeof(int32_t))
        if slots == NULL:
            raise MemoryError
        self.slots = slots
        self.mask = room - 1
        memset(slots, 255, room * sizeof(int32_t))
        return 0

    cdef inline size_t _slot(self, PyObject *string) noexcept nogil:
        """Return the slot that holds *string*, or the free one where it belongs."""
        cdef size_t slot = (<size_t> string >> 4) * 0x9E3779B97F4A7C15U >> 24 & self.mask
        while self.slots[slot] >= 0 and self.at[self.slots[slot]].string != string:
            slot = (slot + 1) & self.mask
        return slot

    cdef int _insert(self, size_t number) except -1:
        cdef size_t i
        if 2 * (number + 1) > self.mask:
            self._empty_slots(2 * (self.mask + 1))
            for i in range(number):
                self.slots[self._slot(self.at[i].string)] = <int32_t> i
        self.slots[self._slot(self.at[number].string)] = <int32_t> number
        return 0

    cdef inline int32_t of(self, PyObject *string) except -1:
        """Return the number of *string*."""
        cdef int32_t known = self.slots[self._slot(string)]
        return known if known >= 0 else self._add(string)

    cdef int32_t _add(self, PyObject *string) except -1:
        cdef Text *text
        cdef Py_ssize_t size
        cdef int32_t known
        Py_INCREF(string)
        PyUnicode_InternInPlace(&string)
        known = self.slots[self._slot(string)]
        if known >= 0:
            Py_DECREF(string)
            return known
        if self.size == self.room:
            grow(<void **> &self.at, &self.room, self.size + 1, sizeof(Text))
        text = &self.at[self.size]
        memset(text, 0, sizeof(Text))
        text.string = string
        try:
            text.utf8 = PyUnicode_AsUTF8AndSize(string, &size)
        except UnicodeEncodeError:
            encoded = (<str> <object> string).encode("utf-8", "surrogatepass")
            Py_INCREF(<PyObject *> encoded)
            text.encoded = <PyObject *> encoded
            text.utf8 = PyBytes_AS_STRING(encoded)
            size = PyBytes_GET_SIZE(encoded)
        text.size = size
        self.size += 1
        self._insert(self.size - 1)
        return <int32_t> (self.size - 1)

    cdef int32_t named(self, str string) except -1:
        """Return the number of *string*."""
        return self.of(<PyObject *> string)

    cdef inline uint32_t hash(self, int32_t number, int prefix) noexcept nogil:
        """Return the CRC-32 of text *number* after *prefix*."""
        cdef Text *text = &self.at[number]
        if not text.hashed >> prefix & 1:
            text.hashes[prefix] = ~crc_more(
                crc_more(0xFFFFFFFFU, PREFIXES[prefix], PREFIX_SIZES[prefix]), text.utf8, text.size
            )
            text.hashed |= <uint32_t> 1 << prefix
        return text.hashes[prefix]
