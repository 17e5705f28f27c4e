# Words in ASCII, and their parts.

# 0: between words; 1: digit; 2: letter or underscore.
cdef unsigned char WORD_CLASS[256]


cdef void _fill_word_classes() noexcept:
    cdef int i
    for i in range(256):
        if c"0" <= i <= c"9":
            WORD_CLASS[i] = 1
        elif c"a" <= i <= c"z" or c"A" <= i <= c"Z" or i == c"_":
            WORD_CLASS[i] = 2
        else:
            WORD_CLASS[i] = 0


_fill_word_classes()


cdef inline bint next_part(const char *text, size_t size, size_t *end, size_t *start) noexcept nogil:
    """Find the part of a word that begins at *end* or behind, and set where it begins and ends; tell if there is one.

    Parts are runs of small letters, with one capital before them or without, of capitals that no small letter
    follows, and of digits.
    """
    cdef size_t at = end[0]
    while at < size:
        start[0] = at
        if c"0" <= text[at] <= c"9":
            while at < size and c"0" <= text[at] <= c"9":
                at += 1
        elif c"A" <= text[at] <= c"Z":
            at += 1
            if at < size and c"a" <= text[at] <= c"z":
                while at < size and c"a" <= text[at] <= c"z":
                    at += 1
            else:
                while at < size and c"A" <= text[at] <= c"Z":
                    at += 1
                # The last capital belongs to the small letters after it.
                if at < size and c"a" <= text[at] <= c"z":
                    at -= 1
        elif c"a" <= text[at] <= c"z":
            while at < size and c"a" <= text[at] <= c"z":
                at += 1
        else:
            at += 1
            continue
        end[0] = at
        return True
    end[0] = at
    return False


cdef inline char hashed_letter(char letter) noexcept nogil:
    """Return what stands for *letter* in hashes: letters count as small, and any number is one part."""
    if c"0" <= letter <= c"9":
        return c"#"
    return letter + 32 if c"A" <= letter <= c"Z" else letter


cdef inline uint32_t part_hash(const char *part, size_t size) noexcept nogil:
    """Return the CRC-32 of a part of a word."""
    cdef uint32_t state = 0xFFFFFFFFU
    cdef char letter
    cdef size_t i
    for i in range(size):
        letter = hashed_letter(part[i])
        state = crc_more(state, &letter, 1)
        if letter == c"#":
            break
    return ~state
