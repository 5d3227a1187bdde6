"""How learners call a model, and in which mode."""

from torch import Tensor, nn

from p2pfed.learn.examples import Examples
from p2pfed.updates.method import has_statistics


def call_model(model: nn.Module, batch: Examples) -> object:
    """Return a model's outputs for rows, whose inputs it may take by name."""
    if isinstance(batch.inputs, Tensor):
        return model(batch.inputs)
    return model(**batch.inputs)


def set_modes(model: nn.Module, *, training: bool) -> None:
    """Turn dropout off always; let normalization layers that train measure statistics.

    Evaluation mode for all is the only switch that also reaches dropout which a model calls as a
    function instead of holding it as a module.
    """
    model.eval()
    for module in model.modules():
        # Frozen layers stay as they were pretrained, or the base would drift apart unseen.
        if has_statistics(module) and any(p.requires_grad for p in module.parameters()):
            module.train(training)
