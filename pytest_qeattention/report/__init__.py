"""Results as lines for people and as documents for programs: pure functions, no input or output.

    lines.py        a line of text with its markup
    terminal.py     similarity reports -> lines
    document.py     similarity reports -> the JSON document
    sarif.py        similarity reports -> a SARIF log
    github.py       similarity reports -> annotations of a GitHub workflow
    markdown.py     similarity reports -> the summary of a pull request
    junit.py        similarity reports -> properties in a JUnit file
    defects.py      causes of failures -> lines, and a part of the JSON document
    place.py        where a test stands, for programs outside of the project
    information.py  what serves the calls -> lines

PYTEST_DONT_REWRITE
"""
