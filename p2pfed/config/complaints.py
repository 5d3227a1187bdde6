"""What is wrong with a run file, said of the field as it stands there."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from p2pfed.config.model import IntegrationTable, RunConfig
from p2pfed.config.wording import fix_of
from p2pfed.errors import ConfigError
from robust.errors import RuleError
from robust.parameters import meant, shown

RecordT = TypeVar("RecordT")

# What a run file cannot say of a rule, and why.
_GIVEN: Final[Mapping[str, str]] = {
    "byzantine_count": "f follows from beta_max",
    "evaluate": "each peer scores models on its own rows",
    "progress": "each peer tells the rule how much of the run is over",
    # One that all peers share would let them draw alike, and liars know it.
    "seed": "each peer draws with a seed of its own, another one in each round",
}


def field_error(
    error: ValidationError, data: Mapping[str, Any], *, tables: Sequence[str], shown_by: str
) -> ConfigError:
    """Name the first field of a run file that cannot be used.

    Args:
        error: What the model found.
        data: The file's content. Where the model allows for several types, an error has one
            complaint for each, and names the type behind the field.
        tables: Those that may have been meant by a misspelled one; empty for those of a run file.
        shown_by: Where all fields are to be seen.
    """
    complaints = error.errors(include_url=False)
    first = complaints[0]
    place = _in_file(first["loc"], data)
    field = ".".join(str(part) for part in place)
    if first["type"] == "extra_forbidden":
        table = first["loc"][:-1]
        known = known_fields(RunConfig, table) if table or not tables else tables
        near = meant(str(first["loc"][-1]), known)
        fix = f"remove it; there is no such field ({shown_by}){near}"
    else:
        fix = fix_of([it for it in complaints if _in_file(it["loc"], data) == place], field)
    return ConfigError(field, first["input"], fix)


def known_fields(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Return the fields of the table at a place, sorted.

    Args:
        model: What the place is in.
        location: Names, numbers in lists, and kinds behind these, as complaints have them.
    """
    tables = [model]
    for part in location:
        if isinstance(part, int):
            continue
        inside = [it.model_fields[part].annotation for it in tables if part in it.model_fields]
        if inside:
            tables = [found for it in inside for found in _tables_in(it)]
        else:
            tables = [it for it in tables if part in get_args(it.model_fields["kind"].annotation)]
    return sorted({name for it in tables for name in it.model_fields})


def _tables_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for it in get_args(annotation) for found in _tables_in(it)]


def check_rule(integration: IntegrationTable) -> None:
    """Check that there is a rule of this name, which has parameters of these names.

    Raises:
        ConfigError: If there is none, or it has not; or if one of them is given by the peer.
    """
    # Importing it needs torch, which reading a run file does not.
    from robust.registry import accepts, create

    rule, params = integration.rule, integration.params
    try:
        accepts(rule, "")  # whatever it is asked for: whether there is such a rule
    except RuleError as error:
        raise ConfigError("integration.rule", rule, str(error)) from error
    for name, why in _GIVEN.items():
        if name in params and accepts(rule, name):
            raise ConfigError(f"integration.params.{name}", params[name], f"remove it; {why}")
    if all(accepts(rule, name) for name in params):
        return
    try:
        create(rule, **params)
    except RuleError as error:
        raise _params_error(integration) from error


def rule_error(integration: IntegrationTable, error: RuleError) -> ConfigError:
    """Name the field of `[integration]` that the integrator could not be made with."""
    # Importing them needs torch, which reading a run file does not.
    from robust.registry import names

    rule, params, said = integration.rule, integration.params, str(error)
    try:
        check_rule(integration)
    except ConfigError as unknown:
        return unknown
    for name, value in params.items():
        if said.startswith(f"{name}="):
            fix = said.removeprefix(f"{name}={shown(value)}").lstrip(": ")
            return ConfigError(f"integration.params.{name}", value, fix)
    if "reads ranks" in said:
        fix = (
            'it votes on rankings, and this method sends none; set method.name = "ranks", or '
            '"lora-ranks" or "update-ranks", and codec.name = "ballot", or take another rule'
        )
        return ConfigError("integration.rule", rule, fix)
    if "reads vectors" in said or "is no vote" in said:
        fix = 'write "rank-vote"; this method sends rankings, and no other rule votes on them'
        return ConfigError("integration.rule", rule, fix)
    if said.startswith("parameters of "):
        missing, _, _ = said.partition("; accepted: ")
        fix = f"{missing}; accepted: {', '.join(_to_give(rule))}"
        return ConfigError("integration.params", params, fix)
    if params:
        return ConfigError("integration.params", params, said)
    return ConfigError("integration.rule", rule, f"{said}; the rules are {', '.join(names())}")


def _params_error(integration: IntegrationTable) -> ConfigError:
    """Name the first parameter that the rule has not."""
    # Importing it needs torch, which reading a run file does not.
    from robust.registry import parameters

    rule, params, known = integration.rule, integration.params, parameters(integration.rule)
    name = next(it for it in params if it not in known)
    own = ", ".join(_to_give(rule))
    fix = f"remove it; the rule {rule} has no such parameter; it has {own or 'none'}"
    return ConfigError(f"integration.params.{name}", params[name], fix)


def _to_give(rule: str) -> list[str]:
    """Return the parameters of a rule that stand in `integration.params`."""
    # Importing it needs torch, which reading a run file does not.
    from robust.registry import parameters

    return [it for it in parameters(rule) if it not in _GIVEN]


def make_policy(
    policy: Callable[..., RecordT], constants: Mapping[str, int | float], field: str
) -> RecordT:
    """Make a policy of `robust` from a table of a run file.

    Args:
        policy: Its class.
        constants: The table, whose names the class knows.
        field: Where the table stands.

    Raises:
        ConfigError: If a constant is out of range; of several that only together are, the table's.
    """
    try:
        return policy(**constants)
    except RuleError as error:
        for name, value in constants.items():
            prefix = f"{getattr(policy, '__name__', '')}.{name}={shown(value)}: "
            if str(error).startswith(prefix):
                fix = str(error).removeprefix(prefix)
                raise ConfigError(f"{field}.{name}", value, fix) from error
        raise ConfigError(field, dict(constants), str(error)) from error


def _in_file(location: Sequence[int | str], data: object) -> tuple[int | str, ...]:
    """Return the part of a complaint's location that stands in the file, from the outside in."""
    place: list[int | str] = []
    for part in location:
        inner = dict(enumerate(data)) if isinstance(data, list) else data
        if not isinstance(inner, Mapping) or part not in inner:
            break
        data = inner[part]
        place.append(part)
    return tuple(place)
