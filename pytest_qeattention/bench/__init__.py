"""The benchmark suite that users run: ``qeattention bench``.

What it says is measured where it is said: every contender, ours included, is compared with a float64 result on the
very input before it is timed; all of them are warm and take turns; raw samples are kept; what was not measured is
None.

    plan.py           what was asked for, checked before any work
    suite.py          one plan -> one document
    comprehensive.py, memory.py, stress.py, workloads.py, validate.py
                      the suites; each returns rows
    cases.py          what is measured: shapes, inputs, operations
    peers.py, blas.py the other implementations, each in its best light
    gate.py           right or wrong, against float64
    measure.py        one case -> one row
    child.py          peak memory of a process of its own
    stress_case.py    a random call and its check
    timing.py         turns, warm-up, repeats
    intervals.py      quantiles and bootstrap intervals
    machine.py        what it ran on
    compare.py        this run against an older one

PYTEST_DONT_REWRITE
"""

from __future__ import annotations
