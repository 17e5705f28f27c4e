from pytest_qeattention.similarity.describe import Description, FunctionNode
from pytest_qeattention.similarity.model import Unit

INTERFACE: int

def describe(node: FunctionNode, unit: Unit) -> Description: ...
