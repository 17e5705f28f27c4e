"""Results as lines for people and as documents for programs: pure functions, no input or output.

    lines.py        a line of text with its markup
    terminal.py     similarity reports -> lines
    document.py     similarity reports -> the JSON document
    information.py  what serves the calls -> lines

PYTEST_DONT_REWRITE
"""
