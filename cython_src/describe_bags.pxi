# Bags: tokens and paths of the nodes of one function.

cdef struct Assertion:
    # Texts that stand for the call, and how many of its arguments are looked at (-1: all).
    int32_t texts[4]
    int n_texts
    int n_arguments

# Odd multipliers that spread the parts of a path over 32 bits (those of xxHash).
cdef uint32_t LEAF = 0x9E3779B1U
cdef uint32_t PARENT = 0x85EBCA77U
cdef uint32_t GRANDPARENT = 0xC2B2AE3DU
cdef int MOST_ASSERTIONS = 32


cdef class Bags:
    """Collect the features of the nodes of a tree."""

    cdef Texts texts
    cdef Tree tree
    cdef Constants constants
    cdef Assertion assertions[32]
    cdef int n_assertions
    cdef Weighted tokens, paths
    cdef int32_t self_text, stars, tag_args
    cdef uint32_t label_assert

    def __cinit__(self, Texts texts not None, Tree tree not None, Constants constants not None):
        cdef Assertion *assertion
        cdef int i
        self.texts, self.tree, self.constants = texts, tree, constants
        self.self_text = texts.named("self")
        self.stars = texts.named("**")
        self.tag_args = texts.named("|args")
        self.label_assert = texts.hash(texts.named("Assert.args"), PLAIN)
        for name, (parts, count) in plain.ASSERTIONS.items():
            if self.n_assertions == MOST_ASSERTIONS or len(parts) > 4:
                raise RuntimeError("more assertions of unittest than there is room for")
            assertion = &self.assertions[self.n_assertions]
            assertion.n_texts, assertion.n_arguments = len(parts), -1 if count is None else count
            for i in range(assertion.n_texts):
                assertion.texts[i] = texts.named(parts[i])
            self.n_assertions += 1
            texts.at[texts.named(name)].assertion = self.n_assertions

    def __dealloc__(self):
        PyMem_RawFree(self.tokens.at)
        PyMem_RawFree(self.paths.at)

    cdef int fill(self) except -1:
        cdef Texts texts = self.texts
        cdef Node *nodes = self.tree.nodes
        cdef Node *node
        cdef Kind *kind
        cdef size_t i = 0
        cdef uint32_t leaf, near, above
        self.tokens.size = self.paths.size = 0
        while i < self.tree.size:
            node = &nodes[i]
            if node.is_skipped:
                i = node.end
                continue
            i += 1
            kind = &self.tree.kinds[node.kind]
            leaf = 0
            if kind.code == NAME:
                put_feature(&self.tokens, texts.hash(node.text, PLAIN), 1)
                leaf = texts.hash(node.text, NAME_LEAF)
            elif kind.code == ATTRIBUTE:
                put_feature(&self.tokens, texts.hash(node.text, ATTRIBUTE_TEXT), 1)
                leaf = texts.hash(node.text, ATTRIBUTE_LEAF)
            elif kind.code == CONSTANT:
                put_feature(&self.tokens, texts.hash(self.constants.bucket(node.object), PLAIN), 1)
                leaf = texts.hash(self.constants.type_of(node.object), CONSTANT_LEAF)
            elif kind.code == EXPRESSION:
                if self.tree.is_docstring(node):
                    i = node.end
                continue
            elif kind.code == ARGUMENT:
                put_feature(&self.tokens, texts.hash(node.text, ARGUMENT_TEXT), 1)
                leaf = texts.hash(node.text, ARGUMENT_LEAF)
            else:
                if kind.code == CALL:
                    if self._read_assertion(node, i):
                        continue
                elif kind.code == KEYWORD:
                    put_feature(&self.tokens, texts.hash(self.stars if node.text < 0 else node.text, KEYWORD_TEXT), 1)
                    leaf = texts.hash(self.stars if node.text < 0 else node.text, KEYWORD_LEAF)
                elif kind.code == FUNCTION:
                    put_feature(&self.tokens, texts.hash(node.text, DEFINITION), 1)
                put_feature(&self.tokens, texts.hash(kind.name, PLAIN), 1)
            if leaf:
                above = nodes[node.parent].label if node.parent >= 0 else 0
                near = leaf * LEAF + node.label * PARENT
                put_feature(&self.paths, near, 1)
                put_feature(&self.paths, near + above * GRANDPARENT + 1, 1)
        return 0

    cdef bint _read_assertion(self, Node *call, size_t function) except -1:
        """Write a call of unittest's assertions as a comparison, and mark what is not looked at; tell whether it is."""
        cdef Node *nodes = self.tree.nodes
        cdef Assertion *assertion
        cdef size_t child
        cdef int number = 0, i
        if self.tree.kinds[nodes[function].kind].code != ATTRIBUTE:
            return False
        number = self.texts.at[nodes[function].text].assertion
        if not number:
            return False
        if self.tree.kinds[nodes[function + 1].kind].code != NAME or nodes[function + 1].text != self.self_text:
            return False
        assertion = &self.assertions[number - 1]
        number = 0
        child = nodes[function].end
        while child < <size_t> call.end and nodes[child].tag == self.tag_args:
            number += 1
            child = nodes[child].end
        if number < assertion.n_arguments:
            return False
        for i in range(assertion.n_texts):
            put_feature(&self.tokens, self.texts.hash(assertion.texts[i], PLAIN), 1)
        nodes[function].is_skipped = True
        number = 0
        child = nodes[function].end
        while child < <size_t> call.end:
            if nodes[child].tag == self.tag_args and (assertion.n_arguments < 0 or number < assertion.n_arguments):
                nodes[child].label = self.label_assert
                number += 1
            else:
                nodes[child].is_skipped = True
            child = nodes[child].end
        return True
