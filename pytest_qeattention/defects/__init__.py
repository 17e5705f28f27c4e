"""What is known of a failure, and what it has in common with others.

    record.py       FailureRecord: one failure, as plain data
    facts.py        its parts: Frame, Raised, Assertion, TestFacts
    masking.py      messages without what varies from run to run
    pieces.py       messages as pieces: what varies, what must not, and the rest
    patterns.py     what a value in a message looks like
    names.py        parts of paths, hosts and words that were made for one run
    displays.py     dict and set displays in one order
    secrets.py      texts without passwords, tokens and keys
    frames.py       whose code a frame is, and the path it is shown by
    stack.py        what a record keeps of a stack, and which of it is a fixture or the test
    plain.py        plain data that somebody else wrote, checked
    junit_file.py, junit_case.py   failures out of JUnit files of any runner
    xml_stream.py   XML of unknown origin, in bounded memory
    traceback_text.py, doctest_text.py, foreign_traces.py   exceptions out of the text of a traceback
    guessed_places.py   frames of a traceback from another machine
    assertion_text.py   what the text of a failed assertion says
    families.py     families of failures, by the rules of families.json
    pattern.py      what a label keeps of a failure
    statements.py   what people say of defects, and what of it holds
    knowledge_file.py, knowledge.py   the file of labels, and what it comes down to
    history.py      runs and their failures, in SQLite
    matching.py, pattern_index.py   which known defect a failure is
    replay.py       what would have been answered, by the labels of a user

PYTEST_DONT_REWRITE
"""

from __future__ import annotations
