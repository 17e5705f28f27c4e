"""Results as lines for people and as documents for programs: pure functions, no input or output.

    lines.py        a line of text with its markup
    terminal.py     similarity reports -> lines
    document.py     similarity reports -> the JSON document
    sarif.py        similarity reports -> a SARIF log
    github.py       similarity reports -> annotations of a GitHub workflow
    markdown.py     similarity reports -> the summary of a pull request
    junit.py        similarity reports -> properties in a JUnit file
    causes.py       what all reports say of a cause of failures
    defects.py      causes of failures -> lines
    defects_document.py, defects_sarif.py, defects_github.py, defects_markdown.py, defects_junit.py
                    causes of failures -> the same as similarity reports
    defect_lines.py what is known of defects -> lines
    place.py        where a test stands, for programs outside of the project
    information.py  what serves the calls -> lines

PYTEST_DONT_REWRITE
"""
