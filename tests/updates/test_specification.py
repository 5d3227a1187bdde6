"""The flat vector: its order, its copies, and what it refuses."""

import pytest
import torch
from blake3 import blake3
from torch import nn

from p2pfed.errors import LocalError
from p2pfed.updates.specification import ParameterEntry, ParameterSpecification


def make_specification() -> ParameterSpecification:
    return ParameterSpecification.of(dict(nn.Linear(3, 2).named_parameters()))


def test_tensors_stand_in_the_order_of_their_names() -> None:
    tensors = {"b": torch.tensor([[1.0, 2.0]]), "a.c": torch.tensor(3.0), "a": torch.tensor([4.0])}
    specification = ParameterSpecification.of(tensors)
    assert specification.names == ("a", "a.c", "b")
    assert specification.size == 4
    assert specification.flatten(tensors).tolist() == [4.0, 3.0, 1.0, 2.0]
    assert specification.describe()[2] == ("b", (1, 2), "float32")


def test_flatten_and_unflatten_are_inverse() -> None:
    specification = make_specification()
    vector = torch.arange(8.0)
    tensors = specification.unflatten(vector)
    assert tensors["weight"].shape == (2, 3)
    assert torch.equal(specification.flatten(tensors), vector)


def test_flatten_copies_and_widens() -> None:
    tensors = {"x": torch.ones(2, dtype=torch.bfloat16, requires_grad=True)}
    vector = ParameterSpecification.of(tensors).flatten(tensors)
    assert vector.dtype == torch.float32
    assert not vector.requires_grad
    vector += 1
    assert tensors["x"].tolist() == [1.0, 1.0]


def test_digest_is_that_of_little_endian_values() -> None:
    vector = torch.arange(8.0)
    expected = blake3(vector.numpy().astype("<f4").tobytes()).digest()
    assert make_specification().digest(vector) == expected


def test_equal_entries_make_equal_specifications() -> None:
    assert make_specification() == make_specification()
    assert hash(make_specification()) == hash(make_specification())
    assert make_specification() != ParameterSpecification([])
    assert "8 values" in repr(make_specification())


@pytest.mark.parametrize("vector", [torch.zeros(7), torch.zeros(8).double(), torch.zeros(2, 4)])
def test_other_vectors_are_refused(vector: torch.Tensor) -> None:
    with pytest.raises(LocalError, match="the run's vectors"):
        make_specification().unflatten(vector)


def test_missing_and_misshapen_tensors_are_refused() -> None:
    with pytest.raises(LocalError, match="bias: nothing"):
        make_specification().flatten({"weight": torch.zeros(2, 3)})
    with pytest.raises(LocalError, match=r"weight: shape \(3, 2\)"):
        make_specification().flatten({"weight": torch.zeros(3, 2), "bias": torch.zeros(2)})


def test_names_do_not_repeat() -> None:
    with pytest.raises(LocalError, match="same name"):
        ParameterSpecification([ParameterEntry(name="a", shape=())] * 2)
