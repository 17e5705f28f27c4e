# The syntax tree of a function as an array of nodes in preorder.

cdef enum:
    OTHER
    NAME
    ATTRIBUTE
    CONSTANT
    ARGUMENT
    KEYWORD
    EXPRESSION
    CALL
    FUNCTION
    OPERATOR

cdef struct Field:
    PyObject *name
    uint32_t label
    int32_t tag

cdef struct Kind:
    int code
    int32_t name
    int32_t opening
    size_t first_field
    size_t n_fields
    bint is_naming
    # Whether it is a literal when all its children are.
    bint is_display

cdef struct Node:
    # Borrowed: the tree outlives the walk. Of a constant its value, of any other the node itself.
    PyObject *object
    uint32_t label
    int32_t tag
    int32_t kind
    int32_t parent
    int32_t end
    int32_t text
    int32_t last_tag
    bint is_load
    bint is_literal
    bint is_skipped

cdef struct Pending:
    PyObject *object
    uint32_t label
    int32_t tag
    int32_t parent


cdef PyObject *attribute(PyObject *attributes, PyObject *name) except NULL:
    cdef PyObject *value = PyDict_GetItemWithError(attributes, name)
    if value == NULL:
        raise AttributeError(f"a node of the syntax tree has no {<object> name}")
    return value


cdef class Tree:
    """Lay nodes out in preorder: children follow their parent, and ``end`` is where its subtree ends."""

    cdef Texts texts
    cdef Kind *kinds
    cdef size_t n_kinds, kinds_room
    cdef Field *fields
    cdef size_t n_fields, fields_room
    cdef PyTypeObject **slot_types
    cdef int32_t *slot_kinds
    cdef size_t mask
    # Types and names of fields that the arrays above point to.
    cdef list kept
    cdef Node *nodes
    cdef size_t size, room
    cdef Pending *stack
    cdef size_t depth, stack_room

    def __cinit__(self, Texts texts not None):
        self.texts = texts
        self.kept = []
        self._empty_slots(1024)
        for kind in sorted(vars(ast).values(), key=repr):
            if isinstance(kind, type) and issubclass(kind, ast.AST):
                self._kind(<PyTypeObject *> kind)

    def __dealloc__(self):
        PyMem_RawFree(self.kinds)
        PyMem_RawFree(self.fields)
        PyMem_RawFree(self.slot_types)
        PyMem_RawFree(self.slot_kinds)
        PyMem_RawFree(self.nodes)
        PyMem_RawFree(self.stack)

    cdef int _empty_slots(self, size_t room) except -1:
        PyMem_RawFree(self.slot_types)
        PyMem_RawFree(self.slot_kinds)
        self.slot_types = <PyTypeObject **> PyMem_RawCalloc(room, sizeof(PyTypeObject *))
        self.slot_kinds = <int32_t *> PyMem_RawCalloc(room, sizeof(int32_t))
        if self.slot_types == NULL or self.slot_kinds == NULL:
            raise MemoryError
        self.mask = room - 1
        return 0

    cdef inline size_t _slot(self, PyTypeObject *type) noexcept nogil:
        cdef size_t slot = (<size_t> type >> 4) * 0x9E3779B97F4A7C15U >> 32 & self.mask
        while self.slot_types[slot] != NULL and self.slot_types[slot] != type:
            slot = (slot + 1) & self.mask
        return slot

    cdef inline int32_t kind_of(self, PyObject *node) except -2:
        """Return the number of the kind of *node*, -1 for what is no node."""
        cdef PyTypeObject *type = Py_TYPE(node)
        cdef size_t slot = self._slot(type)
        return self.slot_kinds[slot] if self.slot_types[slot] == type else self._kind(type)

    cdef int32_t _kind(self, PyTypeObject *pointer) except -2:
        cdef size_t slot
        cdef Kind *kind
        cdef Field *field
        cdef int32_t number = -1
        type = <object> pointer
        if 2 * len(self.kept) > self.mask:
            raise RuntimeError("a syntax tree of too many types")
        self.kept.append(type)
        if issubclass(type, ast.AST):
            if self.n_kinds == self.kinds_room:
                grow(<void **> &self.kinds, &self.kinds_room, self.n_kinds + 1, sizeof(Kind))
            number = <int32_t> self.n_kinds
            kind = &self.kinds[number]
            kind.code = CODES.get(type, OPERATOR if issubclass(type, (ast.operator, ast.unaryop)) else OTHER)
            kind.name = self.texts.named(type.__name__)
            kind.opening = self.texts.named(f"({type.__name__}")
            kind.is_naming = type in NAMING_KINDS
            kind.is_display = type in LITERAL_KINDS and type is not ast.Constant
            kind.first_field, kind.n_fields = self.n_fields, 0
            for name in type._fields:
                if name in SKIPPED_FIELDS:
                    continue
                if self.n_fields == self.fields_room:
                    grow(<void **> &self.fields, &self.fields_room, self.n_fields + 1, sizeof(Field))
                name = sys.intern(name)
                self.kept.append(name)
                field = &self.fields[self.n_fields]
                field.name = <PyObject *> name
                field.label = self.texts.hash(self.texts.named(f"{type.__name__}.{name}"), PLAIN)
                field.tag = self.texts.named(f"|{name}")
                self.n_fields += 1
                kind.n_fields += 1
            self.n_kinds += 1
        slot = self._slot(pointer)
        self.slot_types[slot] = pointer
        self.slot_kinds[slot] = number
        return number

    cdef inline int push(self, PyObject *node, uint32_t label, int32_t tag, int32_t parent) except -1:
        cdef Pending *pending
        if self.depth == self.stack_room:
            grow(<void **> &self.stack, &self.stack_room, self.depth + 1, sizeof(Pending))
        pending = &self.stack[self.depth]
        pending.object, pending.label, pending.tag, pending.parent = node, label, tag, parent
        self.depth += 1
        return 0

    cdef int add(self, PyObject *root, uint32_t label) except -1:
        """Append the subtree of *root*, which has no parent in the array."""
        cdef Pending pending
        cdef Node *node
        cdef Kind *kind
        cdef PyObject *attributes
        cdef PyObject *value
        cdef size_t i, low, high
        cdef int32_t number
        self.push(root, label, -1, -1)
        while self.depth:
            self.depth -= 1
            pending = self.stack[self.depth]
            if self.size == self.room:
                grow(<void **> &self.nodes, &self.room, self.size + 1, sizeof(Node))
            number = <int32_t> self.size
            node = &self.nodes[number]
            self.size += 1
            node.object, node.label, node.tag, node.parent = pending.object, pending.label, pending.tag, pending.parent
            node.kind = self.kind_of(pending.object)
            if node.kind < 0:
                raise TypeError(f"{<object> pending.object!r} is no node of a syntax tree")
            node.end = number + 1
            node.text = node.last_tag = -1
            node.is_load = node.is_literal = node.is_skipped = False
            kind = &self.kinds[node.kind]
            if kind.n_fields == 0:
                continue
            attributes = PyObject_GenericGetDict(pending.object, NULL)
            # The node holds its dictionary.
            Py_DECREF(attributes)
            if kind.code == NAME:
                node.text = self.texts.of(attribute(attributes, ID))
                node.is_load = Py_TYPE(attribute(attributes, CTX)) == <PyTypeObject *> LOAD
                continue
            if kind.code == CONSTANT:
                node.object = attribute(attributes, VALUE)
                continue
            if kind.code == ATTRIBUTE:
                node.text = self.texts.of(attribute(attributes, ATTR))
            elif kind.code == FUNCTION:
                node.text = self.texts.of(attribute(attributes, NAME_FIELD))
            elif kind.code == ARGUMENT or kind.code == KEYWORD:
                value = attribute(attributes, ARG)
                if value != <PyObject *> None:
                    node.text = self.texts.of(value)
            low = self.depth
            for i in range(kind.first_field, kind.first_field + kind.n_fields):
                value = PyDict_GetItemWithError(attributes, self.fields[i].name)
                if value == NULL or value == <PyObject *> None or PyUnicode_CheckExact(value):
                    continue
                if PyList_Check(value):
                    self._push_list(value, &self.fields[i], number)
                elif self.kind_of(value) >= 0:
                    self.push(value, self.fields[i].label, self.fields[i].tag, number)
                # Kinds met first here may have moved the arrays.
                kind = &self.kinds[self.nodes[number].kind]
            high = self.depth
            while high > low + 1:
                high -= 1
                pending = self.stack[low]
                self.stack[low] = self.stack[high]
                self.stack[high] = pending
                low += 1
        return 0

    cdef int _push_list(self, PyObject *items, Field *field, int32_t parent) except -1:
        cdef Py_ssize_t i
        cdef PyObject *item
        cdef uint32_t label = field.label
        cdef int32_t tag = field.tag
        for i in range(PyList_GET_SIZE(items)):
            item = PyList_GET_ITEM(items, i)
            if item == <PyObject *> None:
                self.push(<PyObject *> ABSENT, label, tag, parent)
            elif self.kind_of(item) >= 0:
                self.push(item, label, tag, parent)
        return 0

    cdef void close(self) noexcept nogil:
        """Set where subtrees end, and which are literals."""
        cdef size_t i = self.size
        cdef Node *node
        cdef Node *parent
        cdef Kind *kind
        for j in range(self.size):
            kind = &self.kinds[self.nodes[j].kind]
            self.nodes[j].is_literal = kind.is_display or kind.code == CONSTANT
        while i > 0:
            i -= 1
            node = &self.nodes[i]
            if node.parent < 0:
                continue
            parent = &self.nodes[node.parent]
            if node.end > parent.end:
                parent.end = node.end
            # An operator takes nothing from a literal, except `not`.
            if not node.is_literal and self.kinds[node.kind].code != OPERATOR:
                parent.is_literal = False

    cdef bint is_docstring(self, Node *expression) noexcept:
        # An expression statement is followed by its expression.
        cdef Node *value = expression + 1
        return self.kinds[value.kind].code == CONSTANT and PyUnicode_CheckExact(value.object)


CODES = {
    ast.Name: NAME,
    ast.Attribute: ATTRIBUTE,
    ast.Constant: CONSTANT,
    ast.arg: ARGUMENT,
    ast.keyword: KEYWORD,
    ast.Expr: EXPRESSION,
    ast.Call: CALL,
    ast.FunctionDef: FUNCTION,
    ast.AsyncFunctionDef: FUNCTION,
    # `not` of a literal is none.
    ast.Not: OTHER,
}
