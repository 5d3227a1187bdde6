"""docs/wire.md: its examples of the main sections of ledgers are what the ledgers write."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from p2pfed.identity import PeerId
from p2pfed.updates.adapter_set import increment as increments
from p2pfed.updates.adapter_set.ledger import AdapterSet
from p2pfed.updates.adapter_set.terms import Terms as AdapterTerms
from p2pfed.updates.author_logs import AuthorLogs
from p2pfed.updates.codecs import Sparse
from p2pfed.updates.log import Operation, Snapshot, Writer
from p2pfed.updates.registry import METHODS
from p2pfed.updates.seed_ledger.ledger import SeedLedger
from p2pfed.updates.seed_ledger.terms import Terms as SeedTerms
from p2pfed.updates.sparse_sum.ledger import SparseSum
from p2pfed.updates.sparse_sum.terms import Terms as SparseTerms

TEXT = (Path(__file__).parents[2] / "docs" / "wire.md").read_text(encoding="utf-8")
SECTION = TEXT[TEXT.index("### 7.1") : TEXT.index("## 8.")]
ME = Writer(PeerId(bytes(32)), 1)


def seeds() -> tuple[AuthorLogs[Any, Any, Any], Operation]:
    ledger = SeedLedger(SeedTerms(run_id=bytes(32), size=64, direction_count=64))
    coefficients = np.zeros(64, dtype=np.int64)
    coefficients[[2, 5]] = 3, -1
    return ledger, ledger.next_operation(ME, 1, 9, coefficients)


def sparse_sum() -> tuple[AuthorLogs[Any, Any, Any], Operation]:
    codec = Sparse(chunk=4, kept=1, exponent=0)
    ledger = SparseSum(SparseTerms(size=4, peer_count=1, codec=codec))
    return ledger, ledger.next_operation(ME, codec.encode(torch.tensor([0.0, 0.0, -0.5, 0.0])))


def adapter_set() -> tuple[AuthorLogs[Any, Any, Any], Operation]:
    terms = AdapterTerms(run_id=bytes(32), shapes=((2, 1),))
    data = bytes.fromhex("030000003f01000080397ffe01")
    ledger = AdapterSet(terms)
    return ledger, ledger.next_operation(ME, increments.decode(data, terms))


EXAMPLES = {"seeds": seeds, "sparse-sum": sparse_sum, "adapter-set": adapter_set}


def test_every_ledger_is_described() -> None:
    for name in (name for name, method in METHODS.items() if method.is_ledger):
        assert SECTION.count(f"`{name}`") >= 4, name


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_the_bytes(name: str) -> None:
    ledger, operation = EXAMPLES[name]()
    ledger.apply(ME, 1, operation)
    written = ledger.encode(operation), Snapshot.of(ledger.log(ME)).to_bytes()
    (row,) = re.findall(rf"^\| `{name}` \| .* \| `([0-9a-f]+)` \| `([0-9a-f]+)` \|$", SECTION, re.M)
    assert tuple(bytes.fromhex(each) for each in row) == written
    assert ledger.decode(written[0]).digest == operation.digest
