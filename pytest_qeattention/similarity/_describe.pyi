from pytest_qeattention.similarity.describe import Description
from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.syntax.nodes import FunctionNode

INTERFACE: int

def describe(node: FunctionNode, unit: Unit) -> Description: ...
