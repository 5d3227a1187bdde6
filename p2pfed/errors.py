"""The errors of p2pfed: who broke the rule decides which one is raised.

`ConfigError` and `LocalError` are ours to mend, `RemoteError` is a peer's doing and never stops
a peer, `TransportError` is the network's. See docs/design.md, "Limits, errors, determinism".
"""

from typing import ClassVar

from typing_extensions import override


class P2PFedError(Exception):
    """Base of everything that p2pfed raises on purpose."""


class ConfigError(P2PFedError):
    """A configuration value cannot be used.

    Args:
        field: Dotted name of the field, as it stands in the file.
        value: The value that was found.
        fix: What to write instead, as an instruction.
    """

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__(f"{field} = {as_in_file(value)}: {fix}")
        self.field = field
        self.value = value
        self.fix = fix

    @override
    def __reduce__(self) -> tuple[type["ConfigError"], tuple[str, object, str]]:
        # Else it is made of its message alone in another process.
        return type(self), (self.field, self.value, self.fix)


class LocalError(P2PFedError):
    """The caller broke a rule of the interface."""


class NotReadError(LocalError):
    """A decoder broke down at an update, for which nobody is to blame."""


def cannot_write(place: object, error: OSError) -> LocalError:
    """Return the error of a file or folder that this machine does not let us write."""
    return LocalError(f"cannot write {place}: {error.strerror or error}")


def as_in_file(value: object) -> str:
    """Return a value as it stands in a TOML file, or as Python writes what TOML has no form for."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(as_in_file(each) for each in value)}]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{key} = {as_in_file(each)}" for key, each in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return repr(value)


class TransportError(P2PFedError):
    """A connection, stream or transfer failed; nobody need be at fault."""


class RemoteError(P2PFedError):
    """A peer sent something that breaks the protocol.

    This is the only family that decoding of a peer's bytes raises. `kind` is stable and short: it
    is counted, shown in status and named in offences.
    """

    kind: ClassVar[str] = "remote"


class FrameError(RemoteError):
    """The bytes are not one canonical msgpack value of an allowed size."""

    kind: ClassVar[str] = "frame"


class SchemaError(RemoteError):
    """The value is well formed but not one of the messages, headers or payloads of the protocol."""

    kind: ClassVar[str] = "schema"


class SignatureError(RemoteError):
    """A signature does not verify under the key that it names."""

    kind: ClassVar[str] = "signature"


class LimitExceeded(RemoteError):
    """A count, size or rate is above the limit that binds the sender."""

    kind: ClassVar[str] = "limit"


class SpecMismatch(RemoteError):
    """The message belongs to another run, method, codec or parameter specification."""

    kind: ClassVar[str] = "mismatch"


class CodecError(RemoteError):
    """A payload cannot be decoded into the parameters that the genesis describes."""

    kind: ClassVar[str] = "codec"
