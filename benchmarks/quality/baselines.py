"""TF-IDF by scikit-learn: what every method is compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pytest_qeattention.syntax.words import words_of

FloatArray = npt.NDArray[np.float64]


def tfidf(queries: Sequence[str], pool: Sequence[str]) -> FloatArray:
    """Return cosines of sub-word TF-IDF, its weights those of *pool*, float64 (queries, pool)."""
    return bag_cosines([Counter(words_of(query)) for query in queries], [Counter(words_of(text)) for text in pool])


def bag_cosines(queries: Sequence[Counter[str]], pool: Sequence[Counter[str]]) -> FloatArray:
    """Return cosines of TF-IDF, ``1 + log(count)`` times rarity in *pool*, float64 (queries, pool)."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.feature_extraction.text import TfidfTransformer

    columns, weights = DictVectorizer(), TfidfTransformer(sublinear_tf=True)
    documents = weights.fit_transform(columns.fit_transform(pool))
    return np.asarray((weights.transform(columns.transform(queries)) @ documents.T).todense(), np.float64)
