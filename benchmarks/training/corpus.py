"""Fetch the source distributions that the encoder is trained on, each by name, version and checksum.

    python -m benchmarks.training.corpus DIR                 fetch and unpack all of them below DIR
    python -m benchmarks.training.corpus DIR --only NAME     only the one named; may be given more than once
    python -m benchmarks.training.corpus DIR --write         also write benchmarks/results/corpus.json

Distributions are unpacked as DIR/NAME-VERSION, Python sources and licences only; nothing of them is run or built.
What is there already is not fetched again. The index is --index URL, else the one that pip is configured for; it has to
answer in the JSON of PEP 691.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, Any
from urllib.parse import urljoin

RESULT = Path(__file__).parents[1] / "results" / "corpus.json"
JSON_TYPE = "application/vnd.pypi.simple.v1+json"
TIMEOUT_S = 120
# More than any of them holds; an archive that unpacks to more is refused.
MOST_BYTES = 1 << 30
_LICENCE_FILE = re.compile(r"(licen[cs]e|copying|notice|authors)[^/]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pin:
    """Name one source distribution."""

    name: str
    version: str
    licence: str
    """What its metadata says: the expression, else the field's first line, else the classifiers, else its file."""
    sha256: str

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.version}"


# All that a model may be trained on; what it is evaluated on is none of these.
CORPORA = (
    Pin(
        "ansible-core", "2.21.5", "GPL-3.0-or-later", "65bb3148c58ebb843cd5074004c805f404f152114d98476dd823324616c9c6cb"
    ),
    Pin("babel", "2.18.0", "BSD-3-Clause", "b80b99a14bd085fcacfa15c9165f651fbb3406e66cc603abf11c5750937c992d"),
    Pin(
        "biopython",
        "1.88",
        "LicenseRef-Biopython-License-Agreement",
        "9aaa31c0bda4d059f7b2ee00bfdb5cbb73ade3057aa4b737a7cc0187091d071a",
    ),
    Pin("bokeh", "3.10.2", "BSD-3-Clause", "d9fba1004fae149c6e6d54ba37410e52b8d4622ed5c6dad2220afa1b61362de0"),
    Pin("celery", "5.7.0", "BSD-3-Clause", "6a5dfcf6662287204f009a02002b9e66c83d4105e47ebabdc7079108772fc6f0"),
    Pin(
        "cherrypy",
        "18.10.0",
        "Freely Distributable; BSD License",
        "6c70e78ee11300e8b21c0767c542ae6b102a49cac5cfd4e3e313d7bb907c5891",
    ),
    Pin(
        "docutils",
        "0.23",
        "Public Domain; BSD License; GNU General Public License (GPL)",
        "746f5060322511280a1e50eb76846ed6bf2342984b2ac04dc42caa1a8d78799e",
    ),
    Pin("gensim", "4.4.0", "LGPL-2.1-only", "a3f5b626da5518e79a479140361c663089fe7998df8ba52d56e1ded71ac5bdf5"),
    Pin("h5py", "3.16.0", "BSD-3-Clause", "a0dbaad796840ccaa67a4c144a0d0c8080073c34c76d5a6941d6818678ef2738"),
    Pin("kombu", "5.7.0", "BSD-3-Clause", "31e62fdfd2381caa3422f8e02b84a491d9a2180ddda74507b57f4cb1e1c2c2c9"),
    Pin(
        "matplotlib",
        "3.11.2",
        "License agreement for matplotlib versions 1.3.0 and later",
        "cec596316640f2b394b8f0daa0ea61a8eae82d017b620b9f202befb972a59ea4",
    ),
    Pin("mypy", "2.4.1", "MIT", "63b590965691e540a335fa74dadf31a7069142f6b72e234689bbd244edf55623"),
    Pin(
        "nltk",
        "3.10.4",
        "Apache License, Version 2.0",
        "44679f4e9220abfd496d2c8cdb22f8425ccbe557604f9aa5cacb1c44003dabc1",
    ),
    Pin("notebook", "6.5.7", "BSD", "04eb9011dfac634fbd4442adaf0a8c27cd26beef831fe1d19faf930c327768e4"),
    Pin("numba", "0.68.1", "BSD", "9de461812470173a14eeb7e0bbd27c897dffe835402a33861166842fc5f6ea57"),
    Pin("numexpr", "2.14.2", "MIT", "e7144e83ea9e581f2273e0304f15836736c4e470e2bd2e378ce617662a1ca278"),
    Pin("pandas", "3.1.1", "BSD-3-Clause", "05fed3e3b7c99b226f160e29d7d6cb7ef39638c758cbfe42b3f24ba34f04b859"),
    Pin("peewee", "4.5.3", "MIT", "434576afaf806428a01f84af74c42fde59372c4f6a6eba26d9b5372113344a8a"),
    Pin("pygments", "2.21.0", "BSD-2-Clause", "610ca751c9bc2492b38eb9a38a7fbc93edbbb2d7182edaf34e66ae493dee5c8c"),
    Pin("pylint", "4.1.4", "GPL-2.0-or-later", "4c9176dc6c9f1b98b742195f01899b290369d5a27b4b41d1014c17f2f96b26f1"),
    Pin(
        "pyramid",
        "2.1",
        "LicenseRef-Repoze-BSD-derived",
        "5a24bc1b5f9e0f0d1c0b6ddd1111e84c15dac44a07e3c1d24e74dd9bb4fc22eb",
    ),
    Pin(
        "salt",
        "3008.5",
        "Apache Software License 2.0",
        "0259deafd601d783721e5aa8ed10677d8c4d6cc12f5de17499af71590d593315",
    ),
    Pin("scikit-learn", "1.9.1", "BSD-3-Clause", "629cada3e33e2b9bf376cdc7614a47a4140b8aedc1d836579e359736fbd82977"),
    Pin("sphinx", "9.2.0", "BSD-2-Clause", "90470459f3cab15d9dfed146c71cf77694b0445df17b2e0e69059cb9f7fc9ee4"),
    Pin("sqlalchemy", "2.1.9", "MIT", "d700a8b2edfb26282a470333d6bc4a454c4acda4d201a3bea7b72fa76c217d28"),
    Pin("statsmodels", "0.15.0", "BSD-3-Clause", "5d257fe58d0772bc46a557880ca78e2a8e07fec7bfd9d11074aef8e33e1aecbc"),
    Pin("tables", "3.11.1", "BSD 3-Clause License", "78abcf413091bc7c1e4e8c10fbbb438d1ac0b5a87436c5b972c3e8253871b6fb"),
    Pin("tornado", "6.6.1", "Apache-2.0", "28e6311402af59c8b02e3fa0f5e7d8eb465b25081381803b127d97e6a4395d5a"),
    Pin("trio", "0.35.0", "MIT OR Apache-2.0", "7efb295c78a0ecd1235c5759e620b5da564ca80d2efcb0055423588547248b96"),
    Pin("twisted", "26.10.0", "MIT", "5f0355403e507fc23ceea85e9dbb4bc59335aabde41dd324e8b8cea180dd38de"),
    Pin("webtest", "3.0.7", "MIT", "7aeab50f970d46c068e7a36dd162cb242591edf72a1d04efd21374772b931741"),
)


class CorpusError(RuntimeError):
    """Say why a distribution could not be fetched or unpacked."""


def normalized(name: str) -> str:
    """Return the name by which an index knows a distribution (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_corpus(name: str) -> bool:
    """Tell whether the distribution *name* is one that a model may be trained on."""
    return normalized(name) in {pin.name for pin in CORPORA}


def index_url(given: str | None) -> str:
    """Return the index to ask: the one *given*, else pip's."""
    pip = [sys.executable, "-m", "pip"]
    configured = given or os.environ.get("PIP_INDEX_URL")
    if not configured:
        asked = subprocess.run([*pip, "config", "get", "global.index-url"], capture_output=True, text=True)
        configured = asked.stdout.strip() if asked.returncode == 0 else ""
    if not configured:
        wide = {**os.environ, "COLUMNS": "400"}
        shown = subprocess.run([*pip, "download", "--help"], capture_output=True, text=True, env=wide).stdout
        found = re.search(r"--index-url.*?\(default (\S+?)\)", shown, re.DOTALL)
        if found is None:
            raise CorpusError("pip names no index; nothing was fetched; pass --index URL")
        configured = found[1]
    return configured.rstrip("/") + "/"


def archive_url(pin: Pin, index: str) -> tuple[str, str]:
    """Return name and address of the archive of *pin*; raises CorpusError where the index has no such file."""
    page = urljoin(index, f"{pin.name}/")
    with urllib.request.urlopen(urllib.request.Request(page, headers={"Accept": JSON_TYPE}), timeout=TIMEOUT_S) as got:
        if "json" not in got.headers.get_content_type():
            raise CorpusError(f"{page} answers in {got.headers.get_content_type()}, not in the JSON of PEP 691")
        files: list[dict[str, Any]] = json.load(got)["files"]
    for file in files:
        if file["hashes"].get("sha256") == pin.sha256:
            return PurePosixPath(file["filename"]).name, urljoin(page, file["url"])
    raise CorpusError(f"{page} has no file with the checksum of {pin.folder}")


def fetch(pin: Pin, archives: Path, index: str) -> Path:
    """Return the archive of *pin* in *archives*, fetched unless it is there; its checksum holds."""
    for known in sorted(archives.iterdir()):
        if normalized(known.name).startswith(normalized(pin.folder)) and digest(known) == pin.sha256:
            return known
    name, url = archive_url(pin, index)
    with tempfile.TemporaryDirectory(dir=archives) as place:
        part = Path(place) / name
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as got, part.open("wb") as file:
            shutil.copyfileobj(got, file)
        found = digest(part)
        if found != pin.sha256:
            raise CorpusError(f"{name} has the checksum {found}, not the one expected; it was thrown away")
        return part.replace(archives / name)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file; the empty text for what is no file."""
    if not path.is_file():
        return ""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def is_wanted(member: str) -> bool:
    """Tell whether a member of an archive is unpacked: Python sources, and what stands on top about the licence."""
    path = PurePosixPath(member)
    if path.is_absolute() or ".." in path.parts or "\\" in member or ":" in member:
        return False
    # Archives hold one folder, whose name is that of the distribution in one spelling or another.
    if len(path.parts) < 2:
        return False
    on_top = len(path.parts) == 2 and (path.name == "PKG-INFO" or _LICENCE_FILE.fullmatch(path.name) is not None)
    return path.suffix == ".py" or on_top


def unpack(archive: Path, target: Path) -> None:
    """Unpack the wanted members of *archive* as the directory *target*, which appears whole or not at all.

    Members that are no plain files, or would lie elsewhere, are left out. Raises CorpusError for an archive that is
    broken or holds more than `MOST_BYTES`.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as place:
        top = Path(place) / "top"
        total = 0
        try:
            for name, size, write in members(archive):
                total += size
                if total > MOST_BYTES:
                    raise CorpusError(f"{archive.name} unpacks to more than {MOST_BYTES >> 20} MB; it was left out")
                write(top.joinpath(*PurePosixPath(name).parts[1:]))
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
            raise CorpusError(f"{archive.name} can't be unpacked ({error}); remove it and try again") from error
        if not top.is_dir():
            raise CorpusError(f"{archive.name} holds no Python source; it was left out")
        top.replace(target)


def members(archive: Path) -> Iterator[tuple[str, int, Callable[[Path], None]]]:
    """Yield name, size and a writer of each wanted plain file of *archive*; a writer works until the next is asked."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                if not info.is_dir() and is_wanted(info.filename):
                    yield info.filename, info.file_size, partial(write_copy, zipped.open(info))
        return
    if not hasattr(tarfile, "data_filter"):
        raise CorpusError("this Python can't unpack archives safely; take 3.10.12, 3.11.4 or any later one")
    with tarfile.open(archive) as tar:
        for listed in tar:
            try:
                member = tarfile.data_filter(listed, str(archive.parent))
            except tarfile.FilterError:
                continue
            content = tar.extractfile(member) if member.isreg() and is_wanted(member.name) else None
            if content is not None:
                yield member.name, member.size, partial(write_copy, content)


def write_copy(source: IO[bytes], path: Path) -> None:
    """Write what *source* holds as the file *path*."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, path.open("wb") as copy:
        shutil.copyfileobj(source, copy)


def declared_licence(directory: Path) -> str:
    """Return what the metadata of an unpacked distribution says of its licence; empty where that is nothing."""
    metadata = directory / "PKG-INFO"
    if not metadata.is_file():
        return ""
    headers = HeaderParser().parsestr(metadata.read_text(encoding="utf-8", errors="replace"))
    classifiers = [text for text in headers.get_all("Classifier", []) if text.startswith("License :: ")]
    named = headers.get("License-Expression") or (headers.get("License") or "").strip().split("\n")[0].strip()
    return named or "; ".join(text.rpartition(" :: ")[2] for text in classifiers)


def parsed(directory: Path) -> Iterator[tuple[Path, ast.Module | None]]:
    """Yield path, which starts in the distribution, and tree of each Python file in order; None for what is none."""
    for path in sorted(directory.rglob("*.py")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            tree = None
        yield path.relative_to(directory), tree


def counts(directory: Path) -> dict[str, int]:
    """Count the Python files of a distribution, its functions, and its tests by the name of file and function."""
    files = functions = tests = unread = 0
    for path, tree in parsed(directory):
        if tree is None:
            unread += 1
            continue
        files += 1
        in_tests = is_test_file(path)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions += 1
                tests += in_tests and node.name.startswith("test")
    return {"files": files, "unread": unread, "functions": functions, "tests": tests}


def is_test_file(path: PurePath) -> bool:
    """Tell whether a file may hold tests, by its name or that of a folder; *path* starts in the distribution."""
    is_named = path.name.startswith("test") or path.name.endswith("_test.py")
    return is_named or not {"test", "tests"}.isdisjoint(path.parts[:-1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch and unpack the distributions; 1 when one of them could not be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--only", action="append", metavar="NAME", choices=[pin.name for pin in CORPORA])
    parser.add_argument("--index", metavar="URL", help="the package index to ask (default: pip's)")
    parser.add_argument("--write", action="store_true", help="write the record to benchmarks/results/corpus.json")
    options = parser.parse_args(arguments)
    archives = options.directory / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    index, failed = "", 0
    record: list[dict[str, Any]] = []
    for pin in CORPORA:
        if options.only and pin.name not in options.only:
            continue
        target = options.directory / pin.folder
        try:
            state = "there already"
            if not target.is_dir():
                index = index or index_url(options.index)
                unpack(fetch(pin, archives, index), target)
                state = "unpacked"
        except (CorpusError, OSError) as error:
            failed += 1
            print(f"{pin.folder}: {error}", flush=True)
            continue
        found = counts(target)
        licence = declared_licence(target)
        record.append({"name": pin.name, "version": pin.version, "licence": pin.licence, "sha256": pin.sha256, **found})
        print(f"{pin.folder}: {state}, {found['files']} files, {found['tests']} tests, {pin.licence}", flush=True)
        if not licence:
            print(f"{pin.folder}: its metadata names no licence; its licence file does", flush=True)
        elif licence != pin.licence:
            print(f"{pin.folder}: its metadata names the licence {licence}, not {pin.licence}", flush=True)
    if options.write and not failed and not options.only:
        total = {key: sum(row[key] for row in record) for key in ("files", "unread", "functions", "tests")}
        RESULT.write_text(json.dumps({"total": total, "distributions": record}, indent=1) + "\n", encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
