"""The fold: several tests as one parametrized test, written, proven, and verified by running it.

    member.py        a test's source with its tree
    module.py        the file around it, read from the text
    lifting.py       what may move into rows
    unifying.py      anti-unification: where the tests differ
    expanding.py     rows that tests have already, and locals that only name a value
    cases.py         what runs for each row
    decorators.py    what stays, what becomes a mark of a row
    notes.py         comments and docstrings beside the rows
    wording.py       names of parameters, tests and rows
    typing_hints.py  hints for parameters
    layout.py        the template with parameters in its holes
    rendering.py     the source
    checking.py, proof.py  each row, put back, gives its test
    folding.py       all of it: `suggest`
    service.py       the suggestions of a report, and the patch
    patching.py      folds in files, and the difference
    project.py, running.py, recorder.py, mutating.py, verification.py  both are run and compared

PYTEST_DONT_REWRITE
"""
