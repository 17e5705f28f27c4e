# Bags: tokens and paths of the nodes of one function.

# Odd multipliers that spread the parts of a path over 32 bits (those of xxHash).
cdef uint32_t LEAF = 0x9E3779B1U
cdef uint32_t PARENT = 0x85EBCA77U
cdef uint32_t GRANDPARENT = 0xC2B2AE3DU


cdef class Bags:
    """Collect the features of the nodes of a tree."""

    cdef Texts texts
    cdef Tree tree
    cdef Constants constants
    cdef Assertions assertions
    cdef Weighted tokens, paths
    cdef int32_t stars
    cdef uint32_t label_assert

    def __cinit__(self, Texts texts not None, Tree tree not None, Constants constants not None):
        self.texts, self.tree, self.constants = texts, tree, constants
        self.assertions = Assertions(texts)
        self.stars = texts.named("**")
        self.label_assert = texts.hash(texts.named("Assert.args"), PLAIN)

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
        """Count a call of unittest's assertions as what stands for it; tell whether it is one."""
        cdef Assertion *assertion = self.assertions.read(self.tree, call, function)
        cdef Node *nodes = self.tree.nodes
        cdef size_t child = function
        cdef int i
        if assertion == NULL:
            return False
        for i in range(assertion.n_texts):
            put_feature(&self.tokens, self.texts.hash(assertion.texts[i], PLAIN), 1)
        while child < <size_t> call.end:
            nodes[child].label = self.label_assert
            child = nodes[child].end
        return True
