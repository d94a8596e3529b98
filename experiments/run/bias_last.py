"""A pass over compiled graphs. It imports the compiler, which takes a second: `compiled` imports it when called."""

from typing import Any

import torch
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
from torch.fx import Graph

aten = torch.ops.aten


class BiasLast(CustomGraphPass):
    """addmm(bias, x, w) -> mm(x, w) + bias on a CPU, where addmm first copies the bias to every row of its result.

    The sum is then part of what follows it, an activation or a density, and costs no pass of its own.
    """

    def __call__(self, graph: Graph) -> None:
        for node in graph.find_nodes(op="call_function", target=aten.addmm.default):
            bias, *factors = node.args
            value = bias.meta["val"]
            if node.kwargs or value.ndim != 1 or value.device.type != "cpu":
                continue
            with graph.inserting_before(node):
                product = graph.call_function(aten.mm.default, tuple(factors))
                total = graph.call_function(aten.add.Tensor, (product, bias))
            product.meta.update(node.meta)
            total.meta.update(node.meta)
            node.replace_all_uses_with(total)
            graph.erase_node(node)

    def uuid(self) -> Any:
        return get_hash_for_files((__file__,))
