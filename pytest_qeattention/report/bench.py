"""Benchmark documents as the lines and the Markdown that people read.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pytest_qeattention.report.lines import Line
from pytest_qeattention.wording import counted

WIDTH = 110
"""Columns that the tables of a whole run keep to."""

_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"))
_NUMBERS = re.compile(r"\[\s*(-?[0-9][^\[\]{}\"]*?)\s*\]")
_SHORT = {"float32": "f32", "bfloat16": "bf16"}
_DIGITS = 7
_SPEED = {
    "attention": ("attention", "B,H,N,D"),
    "dimension": ("width of one head", "B,H,N,D"),
    "latency": ("single queries", "B,H,QxK,D"),
    "topk": ("nearest neighbours", "QxK,D,k"),
    "search": ("single searches", "QxK,D,k"),
    "workload": ("workloads", "workload"),
}
"""Tables of times by the kind of their rows: what they show, and what names a row."""

_CHANGES = ("same", "faster", "slower", None)
_BY_MEMORY = ("latency", "search")
"""Kinds whose pace memory sets, if anything: each operand is used once or twice."""

Row = Mapping[str, Any]


class Table(NamedTuple):
    """Hold a table: its first column is aligned to the left, the others to the right."""

    title: str
    header: list[str]
    body: list[list[str]]


def bench_lines(document: Row) -> list[Line]:
    """Return the lines of ``qeattention bench`` for its document."""
    bench = document["bench"]
    lines = [Line.plain(text) for text in _headline(document)]
    lines += [Line.marked(f"! {remark}", "yellow") for remark in bench["remarks"]]
    for table in _tables(bench):
        lines += [Line(), Line.marked(table.title, "bold")]
        lines += [Line.plain(text) for text in _aligned([table.header, *table.body])]
    notes = [*_notes(bench)]
    return [*lines, *([Line()] if notes else []), *(Line.plain(text) for text in notes)]


def bench_markdown(document: Row) -> str:
    """Return the document of ``qeattention bench`` as Markdown."""
    bench = document["bench"]
    parts = ["  \n".join(_headline(document))]
    parts += [f"**{remark}**" for remark in bench["remarks"]]
    for table in _tables(bench):
        rule = ["---", *["---:"] * (len(table.header) - 1)]
        rows = ["| " + " | ".join(row) + " |" for row in (table.header, rule, *table.body)]
        parts += [f"**{table.title}**", "\n".join(rows)]
    notes = [f"- {note}" for note in _notes(bench)]
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])]) + "\n"


def bench_json(document: Row) -> str:
    """Return the document of ``qeattention bench`` as JSON, the samples of a contender on one line."""
    text = json.dumps(_plain(document), ensure_ascii=False, allow_nan=False, indent=1)
    return _NUMBERS.sub(lambda match: "[" + " ".join(match[1].split()) + "]", text) + "\n"


def duration(nanoseconds: float | None) -> str:
    """Return a time in the unit in which it has one to three digits before the point; ``-`` for None."""
    if nanoseconds is None:
        return "-"
    for size, unit in _UNITS:
        if nanoseconds >= size:
            return f"{number(nanoseconds / size)} {unit}"
    return f"{number(nanoseconds)} ns"


def number(value: float | None) -> str:
    """Return *value* with some three digits; ``-`` for None."""
    if value is None:
        return "-"
    size = abs(value)
    return f"{value:.{0 if size >= 99.95 else 1 if size >= 9.995 else 2}f}"


def _headline(document: Row) -> list[str]:
    bench, backend = document["bench"], document["backend"]
    machine = bench["machine"]
    quick = " (quick)" if bench["quick"] else ""
    caches = [f"{name} {_size(size)}" for name, size in (machine["caches_bytes"] or {}).items() if size]
    numpy = {"numpy": {"usable": True, "version": backend["numpy"]["version"]}}
    versions = [f"{name} {state['version']}" for name, state in {**numpy, **bench["peers"]}.items() if state["usable"]]
    return [
        f"qeattention {backend['version']} bench {bench['suite']}{quick}, {bench['date']}",
        ", ".join(
            [
                machine["cpu"] or "unknown processor",
                f"{counted(bench['threads'], 'thread')} on {counted(machine['processors'] or 0, 'processor')}",
                f"{backend['variant'] or backend['backend']} core",
                *caches,
            ]
        ),
        ", ".join([f"Python {machine['python']}", *versions]),
    ]


def _tables(bench: Row) -> Iterator[Table]:
    rows = bench["rows"]
    for kind, what in _SPEED.items():
        for precision in dict.fromkeys(row["precision"] for row in rows if row["kind"] == kind):
            yield _speed_table(*what, [row for row in rows if row["kind"] == kind and row["precision"] == precision])
    memory = [row for row in rows if row["kind"] == "memory"]
    if memory:
        yield _memory_table(memory)
    for row in rows:
        if row["kind"] == "stress":
            yield _stress_table(row)
    if any(row.get("verdicts") for row in rows):
        yield _verdict_table(rows)
    if bench.get("verdicts") is not None:
        yield _overall_table(bench["verdicts"])
    if bench.get("comparison") is not None:
        yield _comparison_table(bench["comparison"])


def _speed_table(what: str, first: str, rows: Sequence[Row]) -> Table:
    peers = list(dict.fromkeys((result["name"], result["precision"]) for row in rows for result in row["results"][1:]))
    precision = rows[0]["precision"]
    names = [name if precision == "float32" else f"{name} {_SHORT[of]}" for name, of in peers]
    kind = rows[0]["kind"]
    pace = ["GB/s"] if kind in _BY_MEMORY else ["GFLOP/s", "of peak"]
    body = []
    for row in rows:
        ours = row["results"][0]
        results = {(result["name"], result["precision"]): result for result in row["results"][1:]}
        body.append(
            [
                row["label"],
                duration(ours["median_ns"]),
                duration(ours["p95_ns"]),
                *(
                    [number(ours["gbyte_per_s"])]
                    if kind in _BY_MEMORY
                    else [number(ours["gflop_per_s"]), _share(ours["peak_share"])]
                ),
                *(_ratio(results.get(peer)) for peer in peers),
            ]
        )
    means = _geometric_means(rows, peers)
    if means is not None:
        body.append(["geometric mean", "", "", "", "", *means])
    title = f"{what}, {precision}; peers: how many times as long as ours, and the 95 % interval"
    return Table(title, [first, "median", "p95", *pace, *names], body)


def _geometric_means(rows: Sequence[Row], peers: Sequence[tuple[str, str]]) -> list[str] | None:
    if len(rows) < 2 or not peers or rows[0]["kind"] not in ("attention", "dimension", "workload"):
        return None
    cells = []
    for peer in peers:
        ratios = [
            result["ratio"]["value"]
            for row in rows
            for result in row["results"][1:]
            if (result["name"], result["precision"]) == peer and result["ratio"]
        ]
        # A mean over fewer rows than its neighbour's would invite a comparison that does not hold.
        complete = len(ratios) == len(rows)
        cells.append(f"{number(math.exp(math.fsum(map(math.log, ratios)) / len(ratios)))}x" if complete else "-")
    return cells


def _memory_table(rows: Sequence[Row]) -> Table:
    body = []
    for row in rows:
        ours, *stored = row["results"]
        body.append(
            [
                row["label"],
                _megabytes(ours["base_bytes"]),
                _megabytes(ours["extra_bytes"]),
                _megabytes(ours["scratch_bytes"]),
                *(_measured_bytes(result) for result in stored),
                _saved(row["saved_share"]),
            ]
        )
    others = [f"{result['name']}, {result['way']}" for result in rows[0]["results"][1:]]
    header = ["B,H,N,D", "base", "ours", "scratch", *others, "saved"]
    return Table("memory in MB: peak of a child process above its base (imports and inputs)", header, body)


def _measured_bytes(result: Row) -> str:
    return _megabytes(result["extra_bytes"]) if result["state"] == "measured" else str(result["state"])


def _stress_table(row: Row) -> Table:
    resident = row["resident"]
    body = [
        ["cases", str(row["cases"])],
        ["seconds", number(row["duration_s"])],
        ["keys", f"{row['fewest_keys']} to {row['most_keys']}"],
        ["causal", str(row["causal"])],
    ]
    for name in ("operation", "precision", "mask", "threads"):
        body.append([name, ", ".join(f"{value} {count}" for value, count in row[f"by_{name}"].items())])
    for what, worst in row["worst"].items():
        body.append([f"worst error, {what}", f"{worst['error']:.2g} of what is allowed (seed {worst['seed']})"])
    grown = "-" if resident["grown_bytes"] is None else f"{resident['grown_bytes'] / 1e6:.0f} MB"
    body.append(["growth, second to last quarter", grown])
    body.append(["mismatch", "none" if row["mismatch"] is None else f"seed {row['mismatch']['seed']}"])
    return Table(f"stress, seed {row['seed']}", ["what", "found"], body)


def _verdict_table(rows: Sequence[Row]) -> Table:
    body = [
        [
            row["label"],
            one["claim"],
            _amount(one["measured"], one),
            f"{one['bound']} {_amount(one['target'], one)}",
            _answer(one["verdict"]),
        ]
        for row in rows
        for one in row.get("verdicts", ())
    ]
    return Table(
        "verdicts: median latency, low end of the speed-up's interval",
        ["measured at", "claim", "measured", "target", "verdict"],
        body,
    )


def _overall_table(verdicts: Sequence[Row]) -> Table:
    body = [
        [one["claim"], str(one["pass"]), str(one["fail"]), str(one["not_measured"]), _answer(one["verdict"])]
        for one in verdicts
    ]
    return Table("overall", ["claim", "pass", "fail", "not measured", "verdict"], body)


def _comparison_table(comparison: Row) -> Table:
    body = [
        [
            change["label"],
            _SHORT[change["precision"]],
            duration(change["old_median_ns"]),
            duration(change["new_median_ns"]),
            _interval(change["ratio"]),
            _answer(change["verdict"]),
        ]
        for change in comparison["changes"]
        if change["name"] == "qeattention"
    ]
    old = comparison["old"]
    title = f"ours against {old['version']} of {old['date']}: new over old with 95 % interval, above one is slower"
    return Table(title, ["measured at", "precision", "old", "new", "ratio", "verdict"], body)


def _notes(bench: Row) -> Iterator[str]:
    for name, state in bench["peers"].items():
        if not state["usable"]:
            yield f"{name} was not compared with: {state['reason']} (in the checkout: pip install '.[bench]')"
    for row in bench["rows"]:
        for result in row.get("results", ()):
            if result["reason"]:
                yield f"{row['label']}: {result['name']} {result['state']}: {result['reason']}"
            samples = result.get("samples_ns")
            if samples and len(samples) < bench["samples"]:
                yield (
                    f"{row['label']}: {result['name']} has {counted(len(samples), 'sample')}, for a call takes "
                    f"{duration(result['median_ns'])}"
                )
    if bench["blas_threads"] != bench["threads"] and any(
        result["name"] == "numpy" for row in bench["rows"] for result in row.get("results", ())
    ):
        count = "an unknown number of" if bench["blas_threads"] is None else bench["blas_threads"]
        yield f"NumPy's BLAS used {count} threads, not {bench['threads']}"
    comparison = bench.get("comparison")
    if comparison is not None:
        yield from _comparison_notes(comparison)


def _comparison_notes(comparison: Row) -> Iterator[str]:
    if not comparison["same_machine"]:
        other = comparison["old"]["machine"]
        yield (
            f"the older report is of another machine ({other.get('cpu') or 'unknown'}, {other.get('processors')} "
            "processors): only times in units of each machine's own peak are compared, and they are no regression test"
        )
    peers = Counter(change["verdict"] for change in comparison["changes"] if change["name"] != "qeattention")
    if peers:
        counts = ", ".join(f"{peers[verdict]} {_answer(verdict)}" for verdict in _CHANGES if peers[verdict])
        yield f"peers, whose code is the same where their versions are: {counts}"
    if comparison["unmatched"]:
        yield f"{counted(comparison['unmatched'], 'measurement')} of this run not in the older report"
    if not comparison["changes"]:
        yield "nothing of this run is in the older report"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip())
    return lines


def _ratio(result: Row | None) -> str:
    if result is None:
        return "-"
    return str(result["state"]) if result["ratio"] is None else _interval(result["ratio"])


def _interval(ratio: Row | None) -> str:
    return "-" if ratio is None else f"{number(ratio['value'])}x {number(ratio['low'])}-{number(ratio['high'])}"


def _amount(value: float | None, verdict: Row) -> str:
    if value is None:
        return "-"
    if verdict["unit"] == "share":
        return _saved(value)
    return f"{number(value)}x" if verdict["unit"] == "x" else f"{number(value)} {verdict['unit']}"


def _answer(verdict: str | None) -> str:
    return "not measured" if verdict is None else verdict


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _saved(value: float | None) -> str:
    # Rounded down, so that 100 % is said of nothing less.
    return "-" if value is None else f"{math.floor(1000 * value + 1e-9) / 10:.1f} %"


def _megabytes(size: float | None) -> str:
    return "-" if size is None else number(size / 1e6)


def _size(size: float) -> str:
    for unit, limit in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= limit:
            return f"{size / limit:.4g} {unit}"
    return f"{size:.0f} B"


def _plain(value: Any) -> Any:
    """Return *value* with floats of seven digits, for errors are small and times large; what is no number is null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value
