# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True, binding=True, embedsignature=False
"""Compiled twin of tokens.py: the same `TokenSequence` of every function and text, bit for bit.

A tree is laid out in an array once (syntax_tree.pxi), and its tokens are one walk over that array. The parts of an
identifier are hashed once in a process. One function is read at a time, whatever thread asks.
"""

from threading import Lock

from pytest_qeattention.encoder import tokens as plain

include "syntax.pxi"

# A number of its own: a build that is left over says what it was built for.
INTERFACE = 1

cdef object TOKEN_SEQUENCE = plain.TokenSequence
cdef object PART_HASHES = plain.part_hashes
cdef object ROLES = plain.ROLES
cdef object SILENT_KINDS = plain.SILENT_KINDS
cdef int LOCALS = plain.LOCALS
cdef size_t MOST_PARTS = plain.MOST_PARTS

cdef enum:
    # What a text has no role of its own as, and what says nothing as the name of a kind.
    NO_ROLE = -1
    SILENT = -2
    UNREAD = -1

# What a text is as the name of a role or kind, and where its parts are, once they were asked for.
cdef struct Reading:
    int32_t role
    int32_t n_parts
    size_t parts

# Text -1: none; a string has parts of its own, which are no name's.
cdef struct Token:
    uint8_t role
    uint8_t n_parts
    int32_t text
    size_t parts


cdef inline int put_parts(Ids *to, const char *text, size_t size, size_t most) except -1:
    """Add the hashes of the first *most* parts of the words of *text*, which is ASCII; return how many."""
    cdef size_t start, end = 0, count = 0
    while count < most and next_part(text, size, &end, &start):
        put_id(to, part_hash(text + start, end - start))
        count += 1
    return <int> count


cdef int put_hashes(Ids *to, hashes) except -1:
    for value in hashes:
        put_id(to, value)
    return len(hashes)


cdef class Tokenizer:
    """Hold what is known of texts and kinds of nodes, and the scratch memory of one function."""

    cdef Texts texts
    cdef Tree tree
    cdef Buckets buckets
    cdef Assertions assertions
    cdef int64_t serial
    cdef Reading *readings
    cdef size_t n_readings, readings_room
    # Parts of texts, for good, and of the strings of one function.
    cdef Ids parts, strings
    cdef Token *tokens
    cdef size_t n_tokens, tokens_room
    cdef Ids attributes
    cdef uint8_t decorator, name, local, attribute_role, argument, keyword, module

    def __cinit__(self):
        cdef Texts texts = Texts()
        self.texts = texts
        self.tree = Tree(texts)
        self.buckets = Buckets(texts)
        self.assertions = Assertions(texts)
        for number, role in enumerate(ROLES):
            self._reading(texts.named(role)).role = number
        for kind in SILENT_KINDS:
            self._reading(texts.named(kind)).role = SILENT
        self.decorator = ROLES.index("decorator")
        self.name = ROLES.index("name")
        self.local = ROLES.index("local0")
        self.attribute_role = ROLES.index("attribute")
        self.argument = ROLES.index("argument")
        self.keyword = ROLES.index("keyword")
        self.module = ROLES.index("module")

    def __dealloc__(self):
        PyMem_RawFree(self.readings)
        PyMem_RawFree(self.parts.at)
        PyMem_RawFree(self.strings.at)
        PyMem_RawFree(self.tokens)
        PyMem_RawFree(self.attributes.at)

    cdef bint is_full(self) noexcept:
        """Tell whether so much is known that it should be forgotten: generated names must not fill the memory."""
        return self.texts.size > MEMO_LIMIT

    cdef object read(self, node):
        """Return the tokens of the function *node*."""
        cdef Tree tree = self.tree
        tree.depth = 0
        self.n_tokens = self.strings.size = self.attributes.size = 0
        self.serial += 1
        for root in node.decorator_list:
            self._put(self.decorator, -1)
            called = root.func if isinstance(root, ast.Call) else root
            tree.size = 0
            tree.add(<PyObject *> called, 0)
            self._walk()
        tree.size = 0
        tree.add(<PyObject *> node.args, 0)
        for root in node.body:
            tree.add(<PyObject *> root, 0)
        self._walk()
        return self._sequence()

    cdef Reading *_reading(self, int32_t text) except NULL:
        cdef Reading *reading
        if self.readings_room < self.texts.size:
            grow(<void **> &self.readings, &self.readings_room, self.texts.size, sizeof(Reading))
        while self.n_readings < self.texts.size:
            reading = &self.readings[self.n_readings]
            reading.role, reading.n_parts, reading.parts = NO_ROLE, UNREAD, 0
            self.n_readings += 1
        return &self.readings[text]

    cdef inline uint8_t _role(self, int32_t text) except? 255:
        """Return the role that *text* names."""
        cdef int32_t role = self._reading(text).role
        return 0 if role < 0 else <uint8_t> role

    cdef inline int _put(self, uint8_t role, int32_t text) except -1:
        """Add a token that stands for *text*."""
        cdef Token *token
        if self.n_tokens == self.tokens_room:
            grow(<void **> &self.tokens, &self.tokens_room, self.n_tokens + 1, sizeof(Token))
        token = &self.tokens[self.n_tokens]
        token.role, token.n_parts, token.text, token.parts = role, 0, text, 0
        self.n_tokens += 1
        return 0

    cdef int _put_constant(self, PyObject *value) except -1:
        cdef Token *token
        cdef Py_ssize_t size
        cdef const char *text
        self._put(self._role(self.buckets.bucket(value)), -1)
        if not isinstance(<object> value, str):
            return 0
        token = &self.tokens[self.n_tokens - 1]
        token.parts = self.strings.size
        if PyUnicode_IS_ASCII(<object> value):
            text = PyUnicode_AsUTF8AndSize(value, &size)
            token.n_parts = put_parts(&self.strings, text, size, MOST_PARTS)
        else:
            token.n_parts = put_hashes(&self.strings, PART_HASHES(<object> value, MOST_PARTS))
        return 0

    cdef int _walk(self) except -1:
        """Add the tokens of the tree."""
        cdef Node *nodes = self.tree.nodes
        cdef Node *node
        cdef Kind *kind
        cdef size_t i = 0
        cdef int32_t role
        self.tree.close()
        while True:
            # An attribute stands behind what it is one of.
            while self.attributes.size and <size_t> nodes[self.attributes.at[self.attributes.size - 1]].end == i:
                self.attributes.size -= 1
                self._put(self.attribute_role, nodes[self.attributes.at[self.attributes.size]].text)
            if i >= self.tree.size:
                return 0
            node = &nodes[i]
            i += 1
            if node.is_skipped:
                i = node.end
                continue
            kind = &self.tree.kinds[node.kind]
            if kind.code == NAME:
                self._put(self.name, node.text)
                if not node.is_load:
                    self.texts.at[node.text].bound = self.serial
            elif kind.code == ATTRIBUTE:
                put_id(&self.attributes, <uint32_t> (i - 1))
            elif kind.code == CONSTANT:
                self._put_constant(node.object)
            elif kind.code == ARGUMENT:
                self._put(self.argument, node.text)
            elif kind.code == KEYWORD:
                self._put(self.keyword, node.text)
            elif kind.code == EXPRESSION:
                if self.tree.is_docstring(node):
                    i = node.end
            elif node.object == <PyObject *> ABSENT or (kind.code == CALL and self._put_assertion(node, i)):
                continue
            elif kind.is_naming:
                self._put_naming(node, kind)
            else:
                role = self._reading(kind.name).role
                if role != SILENT:
                    self._put(0 if role < 0 else <uint8_t> role, -1)

    cdef bint _put_assertion(self, Node *call, size_t function) except -1:
        """Add what stands for a call of unittest's assertions; tell whether it is one."""
        cdef Assertion *assertion = self.assertions.read(self.tree, call, function)
        cdef int32_t role
        cdef int i
        if assertion == NULL:
            return False
        for i in range(assertion.n_texts):
            role = self._reading(assertion.texts[i]).role
            if role >= 0:
                self._put(<uint8_t> role, -1)
            else:
                self._put(self.name, assertion.texts[i])
        return True

    cdef int _bind(self, name) except -1:
        """Add a name that is bound."""
        cdef int32_t text = self.texts.named(name)
        self.texts.at[text].bound = self.serial
        return self._put(self.name, text)

    cdef int _put_naming(self, Node *at, Kind *kind) except -1:
        """Add a node that carries names beside its children, as `tokens._Walk` does."""
        cdef Texts texts = self.texts
        cdef uint8_t role = self._role(kind.name)
        node = <object> at.object
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self._put(role, -1)
            self._bind(node.name)
        elif isinstance(node, ast.alias):
            self._put(self.module, texts.named(node.name))
            texts.at[texts.named((node.asname or node.name).partition(".")[0])].bound = self.serial
        elif isinstance(node, ast.ImportFrom):
            self._put(role, texts.named(node.module) if node.module else -1)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            for name in node.names:
                texts.at[texts.named(name)].declared = self.serial
            self._put(role, -1)
        elif isinstance(node, ast.ExceptHandler):
            self._put(role, -1)
            if node.name:
                texts.at[texts.named(node.name)].bound = self.serial
        elif isinstance(node, (ast.MatchAs, ast.MatchStar, ast.MatchMapping)):
            self._put(role, -1)
            capture = node.rest if isinstance(node, ast.MatchMapping) else node.name
            if capture:
                self._bind(capture)
        else:
            self._put(role, -1)
        return 0

    cdef int _read_parts(self, int32_t text, Reading *reading) except -1:
        """Hash the parts of *text*."""
        cdef Text *known = &self.texts.at[text]
        cdef size_t start = self.parts.size
        cdef int count
        if PyUnicode_IS_ASCII(<object> known.string):
            count = put_parts(&self.parts, known.utf8, known.size, MOST_PARTS)
        else:
            count = put_hashes(&self.parts, PART_HASHES(<object> known.string, MOST_PARTS))
        reading.parts, reading.n_parts = start, count
        return 0

    cdef object _sequence(self):
        """Return what was collected, local names numbered by first appearance."""
        cdef Text *text
        cdef Token *token
        cdef Reading *reading
        cdef size_t i, n_parts = 0
        cdef int n_locals = 0
        cdef uint8_t *role_of
        cdef uint8_t *count_of
        cdef uint32_t *part
        roles = PyBytes_FromStringAndSize(NULL, self.n_tokens)
        counts = PyBytes_FromStringAndSize(NULL, self.n_tokens)
        role_of, count_of = <uint8_t *> PyBytes_AS_STRING(roles), <uint8_t *> PyBytes_AS_STRING(counts)
        for i in range(self.n_tokens):
            token = &self.tokens[i]
            if token.text >= 0:
                text = &self.texts.at[token.text]
                if token.role == self.name and text.bound == self.serial and text.declared != self.serial:
                    if text.numbered != self.serial:
                        text.numbered, text.number = self.serial, n_locals
                        n_locals += 1
                    token.role, token.text = self.local + <uint8_t> (text.number % LOCALS), -1
                else:
                    reading = self._reading(token.text)
                    if reading.n_parts == UNREAD:
                        self._read_parts(token.text, reading)
                    token.parts, token.n_parts = reading.parts, <uint8_t> reading.n_parts
            role_of[i], count_of[i] = token.role, token.n_parts
            n_parts += token.n_parts
        hashes = PyBytes_FromStringAndSize(NULL, n_parts * sizeof(uint32_t))
        part = <uint32_t *> PyBytes_AS_STRING(hashes)
        for i in range(self.n_tokens):
            token = &self.tokens[i]
            if token.n_parts:
                memcpy(
                    part,
                    (self.parts.at if token.text >= 0 else self.strings.at) + token.parts,
                    token.n_parts * sizeof(uint32_t),
                )
                part += token.n_parts
        return TOKEN_SEQUENCE(roles, counts, hashes)


cdef object _lock = Lock()
cdef Tokenizer _tokenizer = Tokenizer()


def code_sequences(nodes):
    """Return the tokens of the functions *nodes*, as `tokens.code_tokens_plainly` does one by one."""
    global _tokenizer
    found = []
    with _lock:
        for node in nodes:
            if _tokenizer.is_full():
                _tokenizer = Tokenizer()
            found.append(_tokenizer.read(node))
    return found


def word_sequences(texts):
    """Return the tokens of *texts*, as `tokens.word_tokens_plainly` does one by one."""
    cdef Ids parts
    cdef Py_ssize_t size
    cdef const char *utf8
    cdef bytes word = bytes([ROLES.index("word")])
    parts.at, parts.size, parts.room = NULL, 0, 0
    found = []
    try:
        for text in texts:
            parts.size = 0
            if PyUnicode_CheckExact(<PyObject *> text) and PyUnicode_IS_ASCII(text):
                utf8 = PyUnicode_AsUTF8AndSize(<PyObject *> text, &size)
                put_parts(&parts, utf8, size, <size_t> size)
            else:
                put_hashes(&parts, PART_HASHES(text, None))
            found.append(
                TOKEN_SEQUENCE(
                    word * parts.size,
                    b"\1" * parts.size,
                    PyBytes_FromStringAndSize(<char *> parts.at, parts.size * sizeof(uint32_t)),
                )
            )
    finally:
        PyMem_RawFree(parts.at)
    return found
