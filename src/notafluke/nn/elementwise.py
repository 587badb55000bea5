"""This package's activations split into what runs forward and what runs backward, as autograd itself would run them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.fx import Graph, GraphModule, Node

Function = Callable[[Tensor], Tensor]

ACTIVATIONS = "notafluke.nn.activations"
"""By name: a run of one activation must not depend on the code of another."""
AS_IT_IS = (torch.ops.aten.detach.default, torch.ops.aten.alias.default)
"""Operations that autograd adds and that change no number."""


@dataclass(frozen=True)
class Elementwise:
    """A function of one tensor that treats every element by itself.

    ``values(x)`` is the function, ``values_and_saved(x)`` also what its derivative needs, and
    ``gradient(of_values, *saved)`` the gradient of x. None of them touches autograd.
    """

    values: Function
    values_and_saved: Callable[[Tensor], tuple[Tensor, ...]]
    gradient: Callable[..., Tensor]


def elementwise(function: Function) -> Elementwise | None:
    """One of this package's activations, with its options bound or not, as an Elementwise; None for anything else.

    A function of somebody else may do more than compute, so it is called at every step. None is also given where an
    operation is not elementwise by PyTorch's own declaration, where nothing is to be differentiated (a step), and where
    the argument is used more than once (softsign): the parts of its gradient are added up among what else comes to that
    argument, in autograd's order.
    """
    whole = function if isinstance(function, partial) else partial(function)
    if getattr(whole.func, "__module__", None) != ACTIVATIONS:
        return None
    return _split(whole.func, whole.args, tuple(sorted(whole.keywords.items())))


@cache
def _split(
    function: Callable[..., Tensor], arguments: tuple[Any, ...], keywords: tuple[Any, ...]
) -> Elementwise | None:
    from torch.fx.experimental.proxy_tensor import make_fx

    def value_of(x: Tensor) -> Tensor:
        # As the engine calls it: that decides the order in which gradients of a value used twice are added.
        found: Tensor = vmap(lambda own: function(*arguments, own, **dict(keywords)))(x)
        return found

    def value_and_gradient(x: Tensor, of_values: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        value = value_of(x)
        return value, torch.autograd.grad(value, x, of_values)[0]

    example = torch.linspace(-1, 1, 6, device="cpu").view(2, 3)
    with torch.enable_grad():
        if not value_of(example.clone().requires_grad_()).requires_grad:
            return None
        return _halves(make_fx(value_and_gradient)(example, torch.ones_like(example)).graph)


def _halves(graph: Graph) -> Elementwise | None:
    """The two halves of a graph (x, of_values) -> (values, of_x); None where an operation is not elementwise."""
    x, of_values = (node for node in graph.nodes if node.op == "placeholder")
    (output,) = (node for node in graph.nodes if node.op == "output")
    values, of_x = output.args[0]
    calls = [node for node in graph.nodes if node.op == "call_function"]
    late = {of_values}
    for node in calls:
        if late & set(node.all_input_nodes):
            late.add(node)
    known = len(calls) + 3 == len(graph.nodes) and all(_is_elementwise(own, own in late) for own in calls)
    if not known or values in late or of_x not in late or of_x.target is torch.ops.aten.add.Tensor:
        return None
    saved = [node for node in (x, *calls) if node not in late and any(user in late for user in node.users)]
    return Elementwise(
        _compiled(graph, [x], late, values),
        _compiled(graph, [x], late, (values, *saved)),
        _compiled(graph, [of_values, *saved], {x, *calls} - late, of_x),
    )


def _is_elementwise(node: Node, in_derivative: bool) -> bool:
    if node.target in AS_IT_IS or node.target is torch.ops.aten.scalar_tensor.default:
        return True
    if torch.Tag.pointwise in getattr(node.target, "tags", ()):
        return bool(node.all_input_nodes)
    # Not all of these are declared so; they are what their forward operation is.
    return in_derivative and str(node.target).partition(".default")[0].endswith("_backward")


def _compiled(graph: Graph, inputs: list[Node], without: set[Node], result: Any) -> Callable[..., Any]:
    """A function of some nodes of a graph that returns others, computed from them without the nodes ``without``."""
    own = Graph()
    copies = {node: own.placeholder(node.name) for node in inputs}
    for node in graph.nodes:
        if node.op != "call_function" or node in without or node in copies:
            continue
        if node.target in AS_IT_IS:
            copies[node] = copies[node.args[0]]
        else:
            copies[node] = own.node_copy(node, copies.__getitem__)
    own.output(torch.fx.map_arg(result, copies.__getitem__))
    own.eliminate_dead_code()
    return GraphModule(nn.Module(), own).forward
