# Growable buffers.

cdef struct Chars:
    char *at
    size_t size
    size_t room

cdef struct Ids:
    uint32_t *at
    size_t size
    size_t room


cdef int grow(void **at, size_t *room, size_t needed, size_t width) except -1:
    cdef size_t wanted = max(needed, 2 * room[0], <size_t>256)
    cdef void *moved = PyMem_RawRealloc(at[0], wanted * width)
    if moved == NULL:
        raise MemoryError
    at[0] = moved
    room[0] = wanted
    return 0


cdef inline int put_chars(Chars *to, const char *text, size_t size) except -1:
    if not size:
        return 0
    if to.size + size > to.room:
        grow(<void **> &to.at, &to.room, to.size + size, 1)
    memcpy(to.at + to.size, text, size)
    to.size += size
    return 0


cdef inline int put_id(Ids *to, uint32_t value) except -1:
    if to.size == to.room:
        grow(<void **> &to.at, &to.room, to.size + 1, sizeof(uint32_t))
    to.at[to.size] = value
    to.size += 1
    return 0
