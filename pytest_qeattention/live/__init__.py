"""Records of the failures of a session: of an exception while it lives, or of what a report still says of it.

    chain.py        exceptions that were just raised -> what was raised, through which frames
    assertions.py   the frame that an assert failed in -> operands, and the function of the product that it asked
    record.py       a failed report with its exception -> the record
    told.py         a report without one -> the record, by its text

PYTEST_DONT_REWRITE
"""
