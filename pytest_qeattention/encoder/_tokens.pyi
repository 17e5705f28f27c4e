from collections.abc import Sequence

from pytest_qeattention.encoder.tokens import TokenSequence
from pytest_qeattention.syntax.nodes import FunctionNode

INTERFACE: int

def code_sequences(nodes: Sequence[FunctionNode]) -> list[TokenSequence]: ...
def word_sequences(texts: Sequence[str]) -> list[TokenSequence]: ...
