"""Golden bytes: what version 1 of the format looks like for ever.

`python -m tests.wire.golden` writes files for samples that have none yet. No file is ever edited:
a difference means that the format changed, and with it the protocol version.
"""

from pathlib import Path

from msgspec.structs import fields

from p2pfed.messages import UpdateHeader
from p2pfed.wire import canonical, frames, genesis, headers
from tests.wire import samples

# The entries name the cursor already.
WIRE_NAMES = {"cursor": "whether a page follows, whose cursor is the last entry"}
FOLDER = Path(__file__).parents[1] / "golden" / "wire"


def encoded_samples() -> dict[str, tuple[str, bytes, list[str]]]:
    """Return, by file name: what it is, its bytes, and the names of the outer array's elements."""
    found = {}
    for name, message in samples.MESSAGES.items():
        names = ["tag", *(WIRE_NAMES.get(field.name, field.name) for field in fields(message))]
        found[name] = (type(message).__name__, frames.encode(message), names)
    header_names = [field.name for field in fields(UpdateHeader)]
    found["header"] = ("UpdateHeader", samples.DIFFERENCE.encoded, header_names)
    found["payload"] = ("payload with sections claims, gram, main", samples.PAYLOAD, [])
    found["genesis"] = ("Genesis", genesis.encode(samples.GENESIS), list(genesis.FIELDS))
    found["update-signature"] = (
        "signature over the prefix and header.hex, by the seed 000102..1f",
        samples.DIFFERENCE.signature,
        [],
    )
    found["signed-record"] = (
        "bytes that the record's signature covers: prefix, then peer, run_id, version, addresses",
        headers.RECORD_PREFIX + canonical.pack(headers.record_value(samples.RECORD)[:4]),
        [],
    )
    return found


def read(name: str) -> bytes:
    """Return the bytes of a golden file."""
    lines = (FOLDER / f"{name}.hex").read_text().splitlines()
    return bytes.fromhex("".join(line.split("#")[0] for line in lines))


def render(title: str, data: bytes, names: list[str]) -> str:
    """Return the text of a golden file: one line per element of the outer array."""
    lines = [f"# {title}"]
    if names:
        parts = canonical.elements(data, elements_max=len(names))
        start = len(data) - sum(map(len, parts))
        lines.append(f"{data[:start].hex()}  # array of {len(parts)}")
        lines += [f"{part.hex()}  # {name}" for part, name in zip(parts, names, strict=True)]
    else:
        lines.append(data.hex())
    return "\n".join(lines) + "\n"


def write_missing() -> None:
    """Write the golden files that do not exist yet."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (title, data, names) in encoded_samples().items():
        file = FOLDER / f"{name}.hex"
        if not file.exists():
            file.write_text(render(title, data, names))


if __name__ == "__main__":
    write_missing()
