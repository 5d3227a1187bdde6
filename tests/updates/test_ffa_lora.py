"""FFA-LoRA: A is common for ever, so that averaging B averages the changes of the weights."""

import torch

from p2pfed.updates.codecs import Float32
from p2pfed.updates.method import AdaptedModel
from p2pfed.updates.methods import FfaLora, Lora
from tests.updates.tiny import frozen_and_trained, make_model

QUERY = "encoder.query.lora_B.weight"


def adapt(seed: int = 0, rank: int = 2) -> AdaptedModel:
    return FfaLora(rank=rank).adapt(make_model(seed), seed=3)


def change(adapted: AdaptedModel, vector: torch.Tensor) -> torch.Tensor:
    """What a vector adds to the query layer's weight, as peft computes it."""
    adapted.load_vector(vector)
    layer = adapted.model.get_submodule("base_model.model.encoder.query")
    delta: torch.Tensor = layer.get_delta_weight("default").detach()  # type: ignore[operator]
    return delta


def some_vectors(adapted: AdaptedModel, count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, adapted.specification.size, generator=generator)


def test_only_the_left_factors_and_the_head_travel() -> None:
    adapted = adapt()
    assert adapted.specification.names == (
        QUERY,
        "encoder.value.lora_B.weight",
        "head.bias",
        "head.weight",
    )
    strangers, trained = frozen_and_trained(adapted)
    assert strangers == set()
    assert len(trained) == 4


def test_the_frozen_factor_is_where_lora_starts() -> None:
    name = "encoder.query.lora_A.weight"
    lora = Lora(rank=2).adapt(make_model(1), seed=3)
    assert torch.equal(adapt(2).fixed[name], lora.trainable[name])
    assert set(adapt().fixed) == {name, "encoder.value.lora_A.weight"}


def test_averaging_what_travels_averages_the_changes() -> None:
    adapted = adapt()
    vectors = some_vectors(adapted)
    weights = torch.tensor([0.5, 0.2, 0.3])
    mean_of_changes = sum(
        weight * change(adapted, vector) for weight, vector in zip(weights, vectors, strict=True)
    )
    change_of_mean = change(adapted, weights @ vectors)
    torch.testing.assert_close(change_of_mean, mean_of_changes, atol=1e-6, rtol=0.0)


def test_updates_are_measured_on_their_products() -> None:
    method, adapted = FfaLora(rank=2, modules=()), FfaLora(rank=2, modules=()).adapt
    model = adapted(make_model(), seed=3)
    vectors = some_vectors(model)
    gram = method.gram(model.specification, model.vector(), fixed=model.fixed)
    assert gram is not None
    effects = torch.stack(
        [
            torch.cat(
                [
                    (method.scale * left @ model.fixed[name.replace("_B", "_A")]).reshape(-1)
                    for name, left in model.specification.unflatten(vector).items()
                ]
            )
            for vector in vectors
        ]
    ).double()
    torch.testing.assert_close(gram(vectors), effects @ effects.T, rtol=1e-5, atol=1e-5)


def test_without_the_frozen_factors_differences_count_as_they_are() -> None:
    adapted = adapt()
    vectors = some_vectors(adapted)
    gram = FfaLora(rank=2).gram(adapted.specification, adapted.vector(), fixed={})
    assert gram is not None
    torch.testing.assert_close(gram(vectors), vectors.double() @ vectors.double().T)


def test_it_costs_rank_times_rows_values_per_layer() -> None:
    rank, rows, layers, head = 2, 4, 2, 4 * 3 + 3
    encoded = Float32().encode(adapt(rank=rank).vector())
    assert len(encoded) == 4 * (layers * rank * rows + head)
