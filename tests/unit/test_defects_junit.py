from __future__ import annotations

from cause_reports import HOSTILE, KNOWN, LIKELY, NEW, failures, red
from defect_failures import failure

from pytest_qeattention.junit import case_of
from pytest_qeattention.report.defects_junit import failing_properties, run_properties
from pytest_qeattention.report.junit import with_properties


def test_a_test_says_what_is_known_of_its_cause() -> None:
    found = red((KNOWN, failures(1, "test_a")), (LIKELY, failures(1, "test_b")), (NEW, failures(1, "test_c")))

    assert failing_properties(found) == {
        "tests/test_shop.py::test_a_0": [
            ("qe_defects_cause", "000000000000"),
            ("qe_defects_state", "known"),
            ("qe_defects_defect", "BUG-1"),
        ],
        "tests/test_shop.py::test_b_0": [
            ("qe_defects_cause", "000000000001"),
            ("qe_defects_state", "likely"),
            ("qe_defects_defect", "BUG-2"),
            ("qe_defects_confidence", "0.8389"),
        ],
        "tests/test_shop.py::test_c_0": [("qe_defects_cause", "000000000002"), ("qe_defects_state", "new")],
    }
    assert run_properties(found) == [
        ("qe_defects_failures", "3"),
        ("qe_defects_causes", "3"),
        ("qe_defects_regressed", "0"),
        ("qe_defects_new", "1"),
        ("qe_defects_likely", "1"),
        ("qe_defects_known", "1"),
    ]


def test_a_test_that_fails_twice_names_both_causes() -> None:
    found = red((NEW, [failure(test="test_a")] * 2), (None, [failure("at teardown", test="test_a")]))

    assert failing_properties(found) == {
        "tests/test_shop.py::test_a": [
            ("qe_defects_cause", "000000000000"),
            ("qe_defects_state", "new"),
            ("qe_defects_cause", "000000000001"),
        ]
    }


def test_names_of_cases_are_those_of_pytest() -> None:
    assert case_of("tests/test_a.py::TestB::test_c[x/y.py::z]", None) == ("tests.test_a.TestB", "test_c[x/y.py::z]")
    assert case_of("tests/test_a.py", "unit") == ("unit", "tests.test_a")


def test_nothing_in_a_property_ends_it() -> None:
    data = b'<testsuite><testcase classname="test_a" name="t"/></testsuite>'

    text = with_properties(data, (), {("test_a", "t"): [("qe_defects_defect", HOSTILE + '"\x00')]}).decode()

    assert "&lt;b&gt;" in text
    assert "#x00" in text
    assert text.count("<property ") == 1
