"""The fold: several tests as one parametrized test, written, proven, and verified by running it.

    member.py        a test's source with its tree
    module.py        the file around it, read from the text
    scoping.py       the class that a fold belongs in, and what is set up there
    lifting.py       what may move into rows
    holes.py         where tests differ, and the error that says why they cannot be one
    unifying.py      anti-unification: finds the holes; surroundings.py says what is around them
    truth.py, pieces.py, operators.py   conditions that hold or not, pieces of f-strings, operators as functions
    rolling.py       statements that tests repeat different numbers of times, as a loop
    renaming.py      local names
    expanding.py     rows that tests have already, and locals that only name a value
    cases.py         what runs for each row
    differences.py   the search for holes with all of these
    decorators.py    what stays, what becomes a mark of a row
    notes.py         comments and docstrings beside the rows
    parameters.py, wording.py, titles.py   parameters and their names, names of tests and rows
    typing_hints.py  hints for parameters
    values.py        what a row holds for a hole
    edits.py         changes of the template's text
    layout.py        the template with parameters in its holes
    rendering.py     the source
    checking.py, proof.py  each row, put back, gives its test
    folding.py       all of it: `suggest`
    service.py       the suggestions of a report, and the patch
    patching.py      folds in files, and the difference
    project.py, running.py, recorder.py, mutating.py, outcomes.py, verification.py  both are run and compared

PYTEST_DONT_REWRITE
"""
