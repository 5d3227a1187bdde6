"""Parameters in one piece of memory: as if they lay apart, also when somebody moves them."""

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from p2pfed.updates.method import AdaptedModel
from p2pfed.updates.methods.full import Full
from p2pfed.updates.packing import pack
from tests.updates.tiny import make_model

CPU = torch.device("cpu")


def make_placed() -> AdaptedModel:
    return Full().adapt(make_model(), seed=0).placed(CPU, torch.float32).in_one_piece()


def values(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def test_packing_changes_no_value_and_no_name() -> None:
    apart = Full().adapt(make_model(), seed=0)
    together = make_placed()
    assert apart.packed is None
    assert together.packed is not None
    assert torch.equal(apart.vector(), together.vector())
    found = values(together.model)
    assert all(torch.equal(found[name], it) for name, it in values(apart.model).items())


def test_packed_vectors_are_copies_that_go_in_and_out() -> None:
    adapted = make_placed()
    vector = torch.arange(float(adapted.specification.size))
    adapted.load_vector(vector)
    read = adapted.vector()
    vector += 1
    assert torch.equal(read, adapted.vector())
    assert not torch.equal(vector, read)
    parts = adapted.specification.unflatten(read)
    assert all(torch.equal(adapted.trainable[name], part) for name, part in parts.items())


def test_what_trains_is_read() -> None:
    adapted = make_placed()
    before = adapted.vector()
    optimizer = torch.optim.SGD(adapted.trainable.values(), lr=0.1)
    adapted.model(torch.ones(2, 6)).sum().backward()
    optimizer.step()
    expected = adapted.specification.flatten(adapted.trainable)
    assert torch.equal(adapted.vector(), expected)
    assert not torch.equal(before, expected)


def test_parameters_that_were_moved_since_are_still_read_and_written() -> None:
    adapted = make_placed()
    moved = adapted.trainable["head.bias"]
    moved.data = torch.full((3,), 5.0)
    assert adapted.specification.unflatten(adapted.vector())["head.bias"].tolist() == [5.0] * 3
    adapted.load_vector(torch.zeros(adapted.specification.size))
    assert moved.tolist() == [0.0] * 3


def test_parameters_that_were_laid_out_anew_are_read_as_they_are() -> None:
    adapted = make_placed()
    weight = adapted.trainable["encoder.query.weight"]
    weight.data = weight.data[:1].expand(weight.shape)  # where it was, but for its strides
    assert torch.equal(adapted.vector(), adapted.specification.flatten(adapted.trainable))


def test_a_vector_that_can_be_derived_leaves_no_graph() -> None:
    adapted = make_placed()
    adapted.load_vector(torch.zeros(adapted.specification.size, requires_grad=True))
    assert not adapted.vector().requires_grad


def test_models_are_packed_only_where_it_is_asked_for() -> None:
    assert Full().adapt(make_model(), seed=0).placed(CPU, torch.float32).packed is None


def test_memory_that_is_used_twice_is_left_alone() -> None:
    model = make_model()
    model.encoder.value.weight.data = model.encoder.query.weight.data
    assert pack(model, dict(model.named_parameters())) is None
    model = make_model()
    model.encoder.register_buffer("seen", model.encoder.query.weight.data[:1])
    assert pack(model, dict(model.named_parameters())) is None


def test_parameters_of_another_layout_or_type_are_left_alone() -> None:
    for change in (Tensor.double, lambda it: it.t().contiguous().t()):
        model = make_model()
        model.head.weight.data = change(model.head.weight.data)
        assert pack(model, dict(model.named_parameters())) is None


def test_packed_models_are_saved_as_others() -> None:
    model = make_placed().model
    read = load(save(model.state_dict()))
    assert all(torch.equal(read[name], it) for name, it in values(model).items())
