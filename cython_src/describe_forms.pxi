# Forms: the walk over the nodes of one function, and its description.

cdef class Describer:
    """Hold what is known of texts, words and kinds of nodes, and the scratch memory of one description."""

    cdef Texts texts
    cdef Words words
    cdef Tree tree
    cdef int64_t serial
    cdef Bags bags
    cdef Constants constants
    cdef Weighted features, scratch
    # Texts of a form, each with a prefix, and the texts of a shape as they are written.
    cdef Ids form
    cdef Chars shape, literals, written
    cdef Ids loaded, sequence, ends
    cdef int64_t assertions_of_first, loads_of_first
    cdef int32_t stars, none, closing, hole, attribute_mark, async_mark, def_mark, n_mark, a_mark, dot
    cdef int32_t keyword_hole, as_hole, alias_hole, module_hole, type_hole
    cdef int32_t tag_args, tag_posonlyargs, tag_kwonlyargs
    cdef uint32_t label_decorator, label_args, label_body
    # Texts of the numbers of local names.
    cdef Ids locals

    def __cinit__(self):
        cdef Texts texts = Texts()
        self.texts = texts
        self.words = Words()
        self.tree = Tree(texts)
        self.constants = Constants(texts)
        self.bags = Bags(texts, self.tree, self.constants)
        self.stars = texts.named("**")
        self.none = texts.named("None")
        self.closing = texts.named(")")
        self.hole = texts.named("#")
        self.attribute_mark = texts.named("Attribute")
        self.async_mark = texts.named("async")
        self.def_mark = texts.named("def")
        self.n_mark = texts.named("N")
        self.a_mark = texts.named("A")
        self.dot = texts.named(".")
        self.keyword_hole = texts.named("kw")
        self.as_hole = texts.named("as")
        self.alias_hole = texts.named("alias")
        self.module_hole = texts.named("module")
        self.type_hole = texts.named("T")
        self.tag_args = texts.named("|args")
        self.tag_posonlyargs = texts.named("|posonlyargs")
        self.tag_kwonlyargs = texts.named("|kwonlyargs")
        self.label_decorator = texts.hash(texts.named("decorator"), PLAIN)
        self.label_args = texts.hash(texts.named("args"), PLAIN)
        self.label_body = texts.hash(texts.named("body"), PLAIN)

    def __dealloc__(self):
        PyMem_RawFree(self.features.at)
        PyMem_RawFree(self.scratch.at)
        PyMem_RawFree(self.form.at)
        PyMem_RawFree(self.shape.at)
        PyMem_RawFree(self.literals.at)
        PyMem_RawFree(self.written.at)
        PyMem_RawFree(self.loaded.at)
        PyMem_RawFree(self.sequence.at)
        PyMem_RawFree(self.ends.at)
        PyMem_RawFree(self.locals.at)

    cdef bint is_full(self) noexcept:
        """Tell whether so much is known that it should be forgotten: generated names must not fill the memory."""
        return self.texts.size > MEMO_LIMIT or self.words.size > MEMO_LIMIT

    cdef object describe(self, node, unit):
        cdef Tree tree = self.tree
        cdef int32_t arguments, first
        cdef size_t i
        tree.size = tree.depth = 0
        for root in node.decorator_list:
            tree.add(<PyObject *> root, self.label_decorator)
        arguments = <int32_t> tree.size
        tree.add(<PyObject *> node.args, self.label_args)
        for root in node.body:
            tree.add(<PyObject *> root, self.label_body)
        tree.close()

        self.bags.fill()
        first = self._read_arguments(arguments)
        if "::" not in unit.qualname:
            first = -1
        self._start_form()
        self._put(self.async_mark if isinstance(node, ast.AsyncFunctionDef) else self.def_mark, PLAIN)
        self._put_shape(self.async_mark if isinstance(node, ast.AsyncFunctionDef) else self.def_mark)
        self._walk(arguments, tree.size, arguments, first)
        self._render(True)
        sequence = PyBytes_FromStringAndSize(<char *> self.sequence.at, self.sequence.size * sizeof(uint32_t))
        hashed = blake2b(_bytes(&self.written), digest_size=12)
        literal = hashed.digest()
        shape = blake2b(_bytes(&self.shape), digest_size=12).digest()
        hashed.update(b"\1" + _bytes(&self.literals))
        uses_self = first >= 0 and self.loads_of_first > self.assertions_of_first
        free_names = self._free_names()

        decorator_names = ()
        if arguments:
            self._start_form()
            self._walk(0, arguments, -1, -1)
            self._render(False)
            hashed.update(b"\1" + _bytes(&self.written) + b"\1" + _bytes(&self.literals))
            decorator_names = self._names_below(arguments)
        else:
            hashed.update(b"\1\1")
        return DESCRIPTION(
            counted(&self.bags.tokens, &self.scratch),
            counted(&self.bags.paths, &self.scratch),
            self._words(unit.source),
            sequence,
            hashed.digest(),
            literal,
            shape,
            free_names,
            decorator_names,
            uses_self,
            plain.is_placeholder(node),
        )

    cdef object _words(self, source):
        if not PyUnicode_IS_ASCII(source):
            return word_features(source)
        text = (<str> source).encode()
        self.features.size = 0
        self.words.read(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), &self.features)
        return counted(&self.features, &self.scratch)

    cdef int32_t _read_arguments(self, int32_t arguments) except -2:
        """Note the names of the arguments; return the first one that is given by position, or -1."""
        cdef Node *nodes = self.tree.nodes
        cdef int32_t child = arguments + 1, first = -1
        self.serial += 1
        while child < nodes[arguments].end:
            if self.tree.kinds[nodes[child].kind].code == ARGUMENT:
                self.texts.at[nodes[child].text].argument = self.serial
                if first < 0 and (nodes[child].tag == self.tag_posonlyargs or nodes[child].tag == self.tag_args):
                    first = nodes[child].text
            child = nodes[child].end
        return first

    cdef void _start_form(self) noexcept:
        self.form.size = self.shape.size = self.literals.size = self.loaded.size = self.ends.size = 0
        self.loads_of_first = self.assertions_of_first = 0

    cdef inline int _put(self, int32_t text, uint32_t prefix) except -1:
        return put_id(&self.form, <uint32_t> text << 4 | prefix)

    cdef inline int _put_shape(self, int32_t text) except -1:
        if self.shape.size:
            put_chars(&self.shape, b"\0", 1)
        return put_chars(&self.shape, self.texts.at[text].utf8, self.texts.at[text].size)

    cdef inline int _put_both(self, int32_t text) except -1:
        self._put(text, PLAIN)
        return self._put_shape(text)

    cdef int _walk(self, size_t start, size_t stop, int32_t arguments, int32_t first) except -1:
        """Write the form of the nodes from *start* to *stop*; *arguments* are those of the function, if any."""
        cdef Node *nodes = self.tree.nodes
        cdef Node *node
        cdef Node *parent
        cdef Kind *kind
        cdef Text *text
        cdef size_t i = start
        while True:
            while self.ends.size and self.ends.at[self.ends.size - 1] == i:
                self.ends.size -= 1
                self._put_both(self.closing)
            if i >= stop:
                return 0
            node = &nodes[i]
            kind = &self.tree.kinds[node.kind]
            if node.parent >= 0:
                parent = &nodes[node.parent]
                if parent.last_tag != node.tag:
                    parent.last_tag = node.tag
                    if parent.text < 0 or self.tree.kinds[parent.kind].code not in (ATTRIBUTE, ARGUMENT):
                        self._put_both(node.tag)
            i += 1
            if kind.code == NAME:
                self._put(node.text, PLACE)
                self._put_shape(self.n_mark)
                text = &self.texts.at[node.text]
                if not node.is_load:
                    text.bound = self.serial
                else:
                    if text.loaded != self.serial:
                        text.loaded = self.serial
                        put_id(&self.loaded, node.text)
                    if node.text == first:
                        self.loads_of_first += 1
            elif node.is_literal:
                self._put_both(self.hole)
                self._write_literal(i - 1)
                i = node.end
            elif kind.code == ATTRIBUTE:
                self._put_both(self.attribute_mark)
                self._put(node.text, ATTRIBUTE_TEXT)
                self._put_shape(self.dot)
                if first >= 0 and nodes[i].text == first and self.tree.kinds[nodes[i].kind].code == NAME:
                    text = &self.texts.at[node.text]
                    self.assertions_of_first += text.size >= 6 and memcmp(text.utf8, b"assert", 6) == 0
            elif kind.code == ARGUMENT:
                if node.parent == arguments and node.tag in (self.tag_args, self.tag_kwonlyargs, self.tag_posonlyargs):
                    self._put(node.text, GIVEN)
                else:
                    self.texts.at[node.text].bound = self.serial
                    self._put(node.text, PLACE)
                self._put_shape(self.a_mark)
            elif kind.code == EXPRESSION and self.tree.is_docstring(node):
                i = node.end
            else:
                self._put_both(kind.opening)
                if kind.is_naming:
                    self._write_names(node)
                put_id(&self.ends, node.end)

    cdef int _bind(self, int32_t text, int32_t hole) except -1:
        self.texts.at[text].bound = self.serial
        self._put(text, PLACE)
        return self._put_shape(hole)

    cdef int _write_names(self, Node *at) except -1:
        """Write what a node carries beside its children, as `describe.Forms` does."""
        cdef Texts texts = self.texts
        cdef int code = self.tree.kinds[at.kind].code
        if code == KEYWORD:
            self._put(self.none if at.text < 0 else at.text, KEYWORD_TEXT)
            return self._put_shape(self.stars if at.text < 0 else self.keyword_hole)
        if code == FUNCTION:
            return self._bind(at.text, self.def_mark)
        node = <object> at.object
        if isinstance(node, ast.ClassDef):
            self._bind(texts.named(node.name), self.def_mark)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            self._bind(texts.named(node.name), self.as_hole)
        elif isinstance(node, ast.alias):
            texts.at[texts.named((node.asname or node.name).partition(".")[0])].bound = self.serial
            self._put(texts.named(f"{node.name} as {node.asname}"), PLAIN)
            self._put_shape(self.alias_hole)
        elif isinstance(node, ast.ImportFrom):
            self._put(texts.named(f"{'.' * (node.level or 0)}{node.module}"), PLAIN)
            self._put_shape(self.module_hole)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            for name in node.names:
                texts.at[texts.named(name)].declared = self.serial
            self._put_both(texts.named(" ".join(node.names)))
        elif isinstance(node, (ast.MatchAs, ast.MatchStar, ast.MatchMapping)):
            capture = node.rest if isinstance(node, ast.MatchMapping) else node.name
            if capture:
                self._bind(texts.named(capture), self.n_mark)
        elif isinstance(node, ast.MatchClass):
            self._put_both(texts.named(" ".join(["patterns", *node.kwd_attrs])))
        elif isinstance(node, ast.MatchSingleton):
            self._put_both(texts.named(repr(node.value)))
        elif isinstance(node, ast.comprehension):
            if node.is_async:
                self._put_both(self.async_mark)
        elif type(node) in TYPE_PARAMETERS:
            self._put(texts.named(f"T:{getattr(node, 'name', '')}"), PLAIN)
            self._put_shape(self.type_hole)
        else:
            self._put_both(texts.named(str(getattr(node, "conversion", -1))))
        return 0

    cdef int _write_literal(self, size_t start) except -1:
        cdef Node *nodes = self.tree.nodes
        cdef Text *text
        cdef size_t i = start, base = self.ends.size
        while True:
            while self.ends.size > base and self.ends.at[self.ends.size - 1] == i:
                self.ends.size -= 1
                self._separate(&self.literals)
                put_chars(&self.literals, b")", 1)
            if i >= <size_t> nodes[start].end:
                return 0
            self._separate(&self.literals)
            if self.tree.kinds[nodes[i].kind].code == CONSTANT:
                self.constants.write(nodes[i].object, &self.literals)
            else:
                text = &self.texts.at[self.tree.kinds[nodes[i].kind].opening]
                put_chars(&self.literals, text.utf8, text.size)
                put_id(&self.ends, nodes[i].end)
            i += 1

    cdef inline int _separate(self, Chars *parts) except -1:
        return put_chars(parts, b"\0", 1) if parts.size else 0

    cdef int32_t _local(self, int32_t number) except -1:
        """Return the text of the local name *number*: ``L0``, ``L1`` and so on."""
        while <size_t> number >= self.locals.size:
            put_id(&self.locals, self.texts.named(f"L{self.locals.size}"))
        return self.locals.at[number]

    cdef int _render(self, bint numbers_locals) except -1:
        """Write the form with its local names numbered by first appearance, and note the sequence of its hashes."""
        cdef Texts texts = self.texts
        cdef Text *text
        cdef size_t i
        cdef int32_t number, n_locals = 0
        cdef uint32_t prefix
        self.written.size = self.sequence.size = 0
        for i in range(self.form.size):
            number, prefix = <int32_t> (self.form.at[i] >> 4), self.form.at[i] & 15
            if prefix == PLACE:
                text = &texts.at[number]
                prefix = OUTSIDE
                if numbers_locals and text.bound == self.serial and text.declared != self.serial:
                    if text.numbered != self.serial:
                        text.numbered, text.number = self.serial, n_locals
                        n_locals += 1
                    number, prefix = self._local(text.number), PLAIN
            if i:
                put_chars(&self.written, b"\0", 1)
            text = &texts.at[number]
            put_chars(&self.written, PREFIXES[prefix], PREFIX_SIZES[prefix])
            put_chars(&self.written, text.utf8, text.size)
            # What only holds a form together is no part of a sequence of code.
            if prefix != PLAIN or not text.size or (text.utf8[0] != c")" and text.utf8[0] != c"|"):
                put_id(&self.sequence, texts.hash(number, prefix))
        return 0

    cdef tuple _free_names(self):
        cdef Text *text
        cdef size_t i
        names = set()
        for i in range(self.loaded.size):
            text = &self.texts.at[self.loaded.at[i]]
            if text.argument == self.serial:
                continue
            if text.bound != self.serial or text.declared == self.serial:
                names.add(<object> text.string)
        return tuple(sorted(names - BUILTINS))

    cdef tuple _names_below(self, size_t stop):
        cdef Node *node
        cdef size_t i
        names = set()
        for i in range(stop):
            node = &self.tree.nodes[i]
            if self.tree.kinds[node.kind].code == NAME:
                names.add(<object> self.texts.at[node.text].string)
        return tuple(sorted(names - BUILTINS))


cdef bytes _bytes(Chars *text):
    return PyBytes_FromStringAndSize(text.at, text.size)
