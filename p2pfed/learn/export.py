"""Handing a trained model on: a folder that other programs load without p2pfed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save_file
from torch import Tensor

from p2pfed.errors import LocalError
from p2pfed.updates.method import AdaptedModel, Method
from p2pfed.updates.methods import Bottleneck, FedSb, Peft
from p2pfed.updates.methods.ranked import RankedScores

WEIGHTS: Final = "model.safetensors"

_PEFT_USE: Final = """\
This folder is a PEFT adapter. `model` below is the model as it was before training, made by the
run's task (`Task.create_model`):

```python
from peft import PeftModel

model = PeftModel.from_pretrained(model, "{folder}")
```
"""

_WEIGHTS_USE: Final = """\
`{weights}` holds the parameters that were trained, under their names in the model. `model` below is
the model as it was before training, made by the run's task (`Task.create_model`):

```python
from safetensors.torch import load_file

model.load_state_dict(load_file("{folder}/{weights}"), strict=False)
```
"""

_ADDED_USE: Final = """\
`{weights}` holds the parameters that were trained, some of which p2pfed adds to the model. `model`
below is the model as it was before training, made by the run's task (`Task.create_model`), and
`seed` is `run.seed` of the run file:

```python
from safetensors.torch import load_file
from p2pfed import updates

method = updates.create_method({method})
model = method.adapt(model, seed=seed).model
model.load_state_dict(load_file("{folder}/{weights}"), strict=False)
```
"""


def export_adapter(
    adapted: AdaptedModel, folder: Path, *, run_name: str, class_names: Sequence[str] = ()
) -> Path:
    """Write the trained parameters of a model into a folder.

    Under the methods with low-rank adapters of peft this is a standard PEFT adapter with the
    modules that trained beside it; under any other, a safetensors file with the parameters by
    name. A README says how to load it.

    Args:
        adapted: Whose parameters.
        folder: Is made if it is not there; files of the same names are replaced.
        run_name: Stands in the README.
        class_names: What the outputs mean; stands there as well.

    Returns:
        The folder.

    Raises:
        LocalError: If it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if adapted.method.is_low_rank:
            model: Any = adapted.model
            # Embedding layers never train here, and looking for them would ask a hub.
            model.save_pretrained(str(folder), save_embedding_layers=False)
        else:
            save_file(_trained_values(adapted), folder / WEIGHTS)
        card = _model_card(adapted, run_name, class_names, folder_name=folder.name)
        (folder / "README.md").write_text(card, "utf-8")
    except OSError as error:
        raise LocalError(f"cannot write the model to {folder}: {error}") from error
    return folder


def _model_card(
    adapted: AdaptedModel, run_name: str, class_names: Sequence[str], *, folder_name: str
) -> str:
    method = adapted.method
    constants = ", ".join(f"{key} = {value}" for key, value in method.describe().items())
    facts = {
        "Method": f"{method.name} ({constants})",
        "Classes": ", ".join(class_names) or "not named",
        "Trained values": str(adapted.specification.size),
        "Trained values, BLAKE3": adapted.specification.digest(adapted.vector()).hex(),
        "Frozen values, BLAKE3": adapted.base_digest().hex(),
    }
    lines = [f"# {run_name}", "", "Trained by p2pfed, peer to peer and without a server.", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    made = ", ".join([repr(method.name), *(f"{k}={v!r}" for k, v in method.describe().items())])
    use = _how_to_use(method).format(folder=folder_name, weights=WEIGHTS, method=made)
    return "\n".join([*lines, "", use])


def _trained_values(adapted: AdaptedModel) -> dict[str, Tensor]:
    """Copy the trained parameters under their names in the adapted model."""
    names = {id(parameter): name for name, parameter in adapted.model.named_parameters()}
    tensors = adapted.specification.unflatten(adapted.vector())
    # Views of one vector share memory, which the format refuses.
    return {names[id(adapted.trainable[name])]: it.clone() for name, it in tensors.items()}


def _how_to_use(method: Method) -> str:
    if method.is_low_rank:
        return _PEFT_USE
    return (
        _ADDED_USE if isinstance(method, Bottleneck | FedSb | Peft | RankedScores) else _WEIGHTS_USE
    )
