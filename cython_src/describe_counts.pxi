# The count of a bag from its features in any order.

# A feature in the upper half, how often in the lower.
cdef struct Weighted:
    uint64_t *at
    size_t size
    size_t room


cdef inline int put_feature(Weighted *to, uint32_t feature, uint32_t count) except -1:
    if to.size == to.room:
        grow(<void **> &to.at, &to.room, to.size + 1, sizeof(uint64_t))
    to.at[to.size] = (<uint64_t> feature << 32) | count
    to.size += 1
    return 0


cdef void sort_features(Weighted *bag, uint64_t *scratch) noexcept nogil:
    """Sort *bag* by feature; *scratch* has the same room. Least significant byte first, or by insertion if short."""
    cdef size_t size = bag.size, i, j, start, count
    cdef uint64_t *source = bag.at
    cdef uint64_t *target = scratch
    cdef uint64_t *swapped
    cdef uint64_t value
    cdef uint32_t counts[4][256]
    cdef int digit, shift
    if size < 48:
        for i in range(1, size):
            value = source[i]
            j = i
            while j > 0 and source[j - 1] > value:
                source[j] = source[j - 1]
                j -= 1
            source[j] = value
        return
    memset(counts, 0, sizeof(counts))
    for i in range(size):
        value = source[i]
        counts[0][(value >> 32) & 255] += 1
        counts[1][(value >> 40) & 255] += 1
        counts[2][(value >> 48) & 255] += 1
        counts[3][value >> 56] += 1
    for digit in range(4):
        shift = 32 + 8 * digit
        start = 0
        for i in range(256):
            count = counts[digit][i]
            counts[digit][i] = <uint32_t> start
            start += count
        for i in range(size):
            value = source[i]
            target[counts[digit][(value >> shift) & 255]] = value
            counts[digit][(value >> shift) & 255] += 1
        swapped = source
        source = target
        target = swapped
    # After four passes the values are where they came from.


cdef bytes counted(Weighted *bag, Weighted *scratch):
    """Return *bag* as `describe.Description` keeps it, and empty it."""
    cdef size_t i, distinct = 0
    cdef uint64_t value, count
    cdef uint32_t *features
    cdef uint16_t *counts
    if scratch.room < bag.size:
        grow(<void **> &scratch.at, &scratch.room, bag.size, sizeof(uint64_t))
    sort_features(bag, scratch.at)
    for i in range(bag.size):
        if distinct and bag.at[distinct - 1] >> 32 == bag.at[i] >> 32:
            bag.at[distinct - 1] += <uint32_t> bag.at[i]
        else:
            bag.at[distinct] = bag.at[i]
            distinct += 1
    packed = PyBytes_FromStringAndSize(NULL, distinct * (sizeof(uint32_t) + sizeof(uint16_t)))
    features = <uint32_t *> PyBytes_AS_STRING(packed)
    counts = <uint16_t *> (features + distinct)
    for i in range(distinct):
        value = bag.at[i]
        count = <uint32_t> value
        features[i] = <uint32_t> (value >> 32)
        counts[i] = <uint16_t> min(count, <uint64_t> LARGEST_COUNT)
    bag.size = 0
    return packed
