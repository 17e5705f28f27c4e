# unittest's assertions.

cdef struct Assertion:
    # Texts that stand for the call, and how many of its arguments are looked at (-1: all).
    int32_t texts[4]
    int n_texts
    int n_arguments

cdef int MOST_ASSERTIONS = 32


cdef class Assertions:
    """Recognize unittest's assertions as `assertions.unittest_assertion` does."""

    cdef Texts texts
    cdef Assertion at[32]
    cdef int size
    cdef int32_t self_text, tag_args

    def __cinit__(self, Texts texts not None):
        cdef Assertion *assertion
        cdef int i
        self.texts = texts
        self.self_text = texts.named("self")
        self.tag_args = texts.named("|args")
        for name, (parts, count) in ASSERTIONS.items():
            if self.size == MOST_ASSERTIONS or len(parts) > 4:
                raise RuntimeError("more assertions of unittest than there is room for")
            assertion = &self.at[self.size]
            assertion.n_texts, assertion.n_arguments = len(parts), -1 if count is None else count
            for i in range(assertion.n_texts):
                assertion.texts[i] = texts.named(parts[i])
            self.size += 1
            texts.at[texts.named(name)].assertion = self.size

    cdef Assertion *read(self, Tree tree, Node *call, size_t function) noexcept:
        """Return what stands for *call*, and mark its children that are not looked at; NULL for any other call."""
        cdef Node *nodes = tree.nodes
        cdef Assertion *assertion
        cdef size_t child
        cdef int number
        if tree.kinds[nodes[function].kind].code != ATTRIBUTE:
            return NULL
        number = self.texts.at[nodes[function].text].assertion
        if not number:
            return NULL
        if tree.kinds[nodes[function + 1].kind].code != NAME or nodes[function + 1].text != self.self_text:
            return NULL
        assertion = &self.at[number - 1]
        number = 0
        child = nodes[function].end
        while child < <size_t> call.end and nodes[child].tag == self.tag_args:
            number += 1
            child = nodes[child].end
        if number < assertion.n_arguments:
            return NULL
        nodes[function].is_skipped = True
        number = 0
        child = nodes[function].end
        while child < <size_t> call.end:
            if nodes[child].tag == self.tag_args and (assertion.n_arguments < 0 or number < assertion.n_arguments):
                number += 1
            else:
                nodes[child].is_skipped = True
            child = nodes[child].end
        return assertion
