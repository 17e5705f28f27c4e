"""Find edited copies of tests again: ``--rank``, its parts, tokens of the syntax tree, and encoders."""

from __future__ import annotations

import ast
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from keyword import iskeyword
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.quality.baselines import bag_cosines, tfidf
from benchmarks.quality.edits import edited
from benchmarks.quality.measures import average_precision
from pytest_qeattention.attention import csr_pair_dots
from pytest_qeattention.encoder.encoder import Encoder
from pytest_qeattention.similarity.counterparts import Counterparts
from pytest_qeattention.similarity.describe import describe
from pytest_qeattention.similarity.evidence import weigh
from pytest_qeattention.similarity.explain import parse_unit
from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.similarity.pairs import SHIPPED, Pairs, gather_facts, near_counts, pair_facts, rescore
from pytest_qeattention.similarity.service import suite_from_paths
from pytest_qeattention.similarity.suite import Suite
from pytest_qeattention.syntax.nodes import FunctionNode, is_docstring, literal_bucket

FloatArray = npt.NDArray[np.float64]

MOST_COPIES = 300
LEAST_STATEMENTS = 3
# What an encoder's cosine adds to the logit of the pair model; to that of the ranking 1.0, more makes it worse.
ENCODER_WEIGHTS = (1.0, 2.0, 4.0, 8.0)


def copies_measure(directory: Path, encoders: Mapping[str, Encoder], _: Path | None) -> dict[str, float]:
    """Return the average precision of each method over all pairs of a test and a copy; each test has one copy."""
    originals, copies = chosen_copies(directory)
    is_own = np.eye(len(originals), dtype=bool).ravel()
    codes, copied = [ast.unparse(node) for node in originals], [ast.unparse(node) for node in copies]
    suite = suite_of(originals, copies)
    scores = {
        "TF-IDF": tfidf(copied, codes),
        "AST tokens": bag_cosines(*([syntax(node, holes=False) for node in each] for each in (copies, originals))),
        "AST tokens, locals as holes": bag_cosines(
            *([syntax(node, holes=True) for node in each] for each in (copies, originals))
        ),
        "shapes of statements": bag_cosines(*([shapes(node) for node in each] for each in (copies, originals))),
        "pair model": pair_logits(suite, len(originals)),
        "ranking": ranking_logits(suite, len(originals)),
    }
    for label, encoder in encoders.items():
        scores[label] = np.asarray(encoder.functions(copied) @ encoder.functions(codes).T, np.float64)
        scores[f"ranking + {label}"] = scores["ranking"] + scores[label]
        for weight in ENCODER_WEIGHTS:
            scores[f"pair model + {label} x {weight}"] = scores["pair model"] + weight * scores[label]
    return {name: average_precision(is_own[np.argsort(-each.ravel(), kind="stable")]) for name, each in scores.items()}


def chosen_copies(directory: Path) -> tuple[list[FunctionNode], list[FunctionNode]]:
    """Return at most `MOST_COPIES` tests below *directory*, without docstrings, and an edited copy of each."""
    nodes = []
    for unit in suite_from_paths([str(directory)], cwd=directory).units:
        node = parse_unit(unit)
        if node is not None:
            node.body = [each for each in node.body if not is_docstring(each)] or [ast.Pass()]
            node.name = "test"
            if len(node.body) >= LEAST_STATEMENTS:
                nodes.append(ast.fix_missing_locations(node))
    chosen = random.Random(0)
    codes = [ast.unparse(node) for node in nodes]
    names = sorted({name for code in codes for name in re.findall(r"[a-z_]{4,}", code) if not iskeyword(name)})
    some = chosen.sample(nodes, min(MOST_COPIES, len(nodes)))
    return some, [_parsed(edited(node, nodes, names, chosen)) for node in some]


def _parsed(code: str) -> FunctionNode:
    node = ast.parse(code).body[0]
    if not isinstance(node, FunctionNode):
        raise ValueError(f"a copy is no function: {code[:80]}")
    return node


def syntax(node: FunctionNode, *, holes: bool) -> Counter[str]:
    """Count the tokens of a syntax tree: kinds, names and buckets of literals; with *holes* local names are one."""
    counts: Counter[str] = Counter()
    bound = {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    bound |= {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}
    for each in ast.walk(node):
        if isinstance(each, ast.Constant):
            counts[literal_bucket(each.value)] += 1
        elif isinstance(each, ast.Name):
            counts["local" if holes and each.id in bound else each.id] += 1
        elif isinstance(each, ast.arg):
            counts["local" if holes else each.arg] += 1
        elif isinstance(each, ast.Attribute):
            counts[f".{each.attr}"] += 1
        elif not isinstance(each, ast.expr_context | ast.arguments):
            counts[f"<{type(each).__name__}>"] += 1
    return counts


def shapes(node: FunctionNode) -> Counter[str]:
    """Count the statements of a function, at any depth, by the kinds of their nodes in order: no name, no literal."""
    return Counter(
        " ".join(type(each).__name__ for each in ast.walk(statement) if not isinstance(each, ast.expr_context))
        for statement in ast.walk(node)
        if isinstance(statement, ast.stmt) and statement is not node
    )


def suite_of(originals: Sequence[FunctionNode], copies: Sequence[FunctionNode]) -> Suite:
    """Return the suite of *originals* and then *copies*.

    Copies lie in a file of their own, one a directory apart: place says nothing of which belongs to which.
    """
    units, described = [], []
    for path, nodes in (("a/test_it.py", originals), ("b/test_it.py", copies)):
        for at, node in enumerate(nodes):
            source = ast.unparse(node)
            name = f"test_{at:04}"
            unit = Unit(f"{path}::{name}", path, 10 * at + 1, name, name, 10 * at + 1, 10 * at + 9, source)
            units.append(unit)
            described.append(describe(node, unit))
    return Suite(tuple(units), tuple(described), ("",) * len(units))


def pair_logits(suite: Suite, n: int) -> FloatArray:
    """Return the logit that the shipped pair model gives each copy and test, float64 (copies, originals).

    *suite* is that of `suite_of`, with *n* originals.
    """
    features = weigh(suite.descriptions)
    facts = gather_facts(suite.units, suite.descriptions, suite.bindings)
    left, right = (each.ravel() for each in np.meshgrid(np.arange(n), np.arange(n, len(suite.units)), indexing="ij"))
    dots = csr_pair_dots(features.indptr, features.indices, features.values, left, right)
    cosine = np.clip(dots.astype(np.float64), 0.0, 1.0)
    near = near_counts(facts, left, right, cosine)
    values = pair_facts(facts, features, near, left, right, cosine)
    every = np.ones(len(left), bool)
    scored = rescore(facts, Pairs(left, right, cosine, values, cosine, every, "exact"), SHIPPED).score
    logits: FloatArray = logit(scored).reshape(n, len(suite.units) - n).T
    return logits


def ranking_logits(suite: Suite, n: int) -> FloatArray:
    """Return the logit of the score that ``--rank`` with each copy gives each test, as `pair_logits`."""
    counterparts = Counterparts(suite)
    return logit(np.stack([counterparts.compare(copy).score[:n] for copy in range(n, len(suite.units))]))


def logit(scores: FloatArray) -> FloatArray:
    """Return the logarithms of the odds of *scores*, finite for 0 and 1 too."""
    safe = np.clip(scores, 1e-9, 1 - 1e-9)
    logits: FloatArray = np.log(safe / (1 - safe))
    return logits
