# The words of a source, each hashed once in a process.

cdef struct Word:
    uint32_t hash
    uint32_t size
    size_t text
    size_t ids
    uint32_t n_ids
    uint32_t count
    int64_t met


cdef class Words:
    """Hash the words of sources in ASCII as `describe.word_features` does."""

    cdef Word *at
    cdef size_t size, room
    cdef int32_t *slots
    cdef size_t mask
    cdef Chars texts
    cdef Ids ids
    cdef Ids met
    cdef Ids pairs
    cdef int64_t serial

    def __cinit__(self):
        self._empty_slots(4096)

    def __dealloc__(self):
        PyMem_RawFree(self.at)
        PyMem_RawFree(self.slots)
        PyMem_RawFree(self.texts.at)
        PyMem_RawFree(self.ids.at)
        PyMem_RawFree(self.met.at)
        PyMem_RawFree(self.pairs.at)

    cdef int _empty_slots(self, size_t room) except -1:
        cdef int32_t *slots = <int32_t *> PyMem_RawRealloc(self.slots, room * sizeof(int32_t))
        if slots == NULL:
            raise MemoryError
        self.slots = slots
        self.mask = room - 1
        memset(slots, 255, room * sizeof(int32_t))
        return 0

    cdef inline size_t _slot(self, uint32_t hash, const char *text, uint32_t size) noexcept nogil:
        cdef size_t slot = hash & self.mask
        cdef Word *word
        while self.slots[slot] >= 0:
            word = &self.at[self.slots[slot]]
            if word.hash == hash and word.size == size and memcmp(self.texts.at + word.text, text, size) == 0:
                break
            slot = (slot + 1) & self.mask
        return slot

    cdef int32_t _add(self, uint32_t hash, const char *text, uint32_t size) except -1:
        cdef size_t i, slot
        cdef Word *word
        if self.size == self.room:
            grow(<void **> &self.at, &self.room, self.size + 1, sizeof(Word))
        word = &self.at[self.size]
        word.hash, word.size, word.text, word.ids = hash, size, self.texts.size, self.ids.size
        word.count = 0
        word.met = -1
        put_chars(&self.texts, text, size)
        self._hash_parts(text, size)
        word.n_ids = <uint32_t> (self.ids.size - word.ids)
        self.size += 1
        if 2 * self.size > self.mask:
            self._empty_slots(2 * (self.mask + 1))
            for i in range(self.size):
                slot = self.at[i].hash & self.mask
                while self.slots[slot] >= 0:
                    slot = (slot + 1) & self.mask
                self.slots[slot] = <int32_t> i
        else:
            self.slots[self._slot(hash, text, size)] = <int32_t> (self.size - 1)
        return <int32_t> (self.size - 1)

    cdef int _hash_parts(self, const char *text, size_t size) except -1:
        """Add the features of one word: its own, those of its parts, and those of neighbouring parts."""
        cdef size_t at = 0, start, kept
        cdef uint32_t state = crc_more(0xFFFFFFFFU, b"w:", 2), pair = 0
        cdef char letter
        cdef bint follows = False
        while at < size:
            if WORD_CLASS[<unsigned char> text[at]] == 1:
                while at < size and WORD_CLASS[<unsigned char> text[at]] == 1:
                    at += 1
                state = crc_more(state, b"#", 1)
            else:
                state = crc_more(state, text + at, 1)
                at += 1
        put_id(&self.ids, ~state)
        self.pairs.size = 0
        at = 0
        while next_part(text, size, &at, &start):
            state = 0xFFFFFFFFU
            if follows:
                pair = crc_more(pair, b"_", 1)
            for kept in range(start, at):
                letter = hashed_letter(text[kept])
                state = crc_more(state, &letter, 1)
                if follows:
                    pair = crc_more(pair, &letter, 1)
                if letter == c"#":
                    break
            put_id(&self.ids, ~state)
            if follows:
                put_id(&self.pairs, ~pair)
            follows = True
            pair = state
        for kept in range(self.pairs.size):
            put_id(&self.ids, self.pairs.at[kept])
        return 0

    cdef int read(self, const char *text, size_t size, Weighted *bag) except -1:
        """Add the features of the words of *text*, which is ASCII, to *bag*."""
        cdef size_t at = 0, start, i, j
        cdef uint32_t hash, previous = 0, first
        cdef int32_t number
        cdef unsigned char kind
        cdef bint follows = False
        cdef Word *word
        self.serial += 1
        self.met.size = 0
        while at < size:
            kind = WORD_CLASS[<unsigned char> text[at]]
            if not kind:
                at += 1
                continue
            start = at
            hash = 0x811C9DC5U
            # A word goes on with digits, a number with digits alone.
            while at < size and (WORD_CLASS[<unsigned char> text[at]] == 1 or (kind == 2 and WORD_CLASS[<unsigned char> text[at]])):
                hash = (hash ^ <unsigned char> text[at]) * 0x01000193U
                at += 1
            number = self.slots[self._slot(hash, text + start, <uint32_t> (at - start))]
            if number < 0:
                number = self._add(hash, text + start, <uint32_t> (at - start))
            word = &self.at[number]
            if word.met != self.serial:
                word.met = self.serial
                word.count = 0
                put_id(&self.met, number)
            word.count += 1
            first = self.ids.at[word.ids]
            if follows:
                put_feature(bag, previous * 0x9E3779B1U ^ first, 1)
            follows = True
            previous = first
        for i in range(self.met.size):
            word = &self.at[self.met.at[i]]
            for j in range(word.n_ids):
                put_feature(bag, self.ids.at[word.ids + j], word.count)
        return 0
