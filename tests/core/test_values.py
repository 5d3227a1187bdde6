"""What every value that passes through a core has in common, however it is made."""

from typing import Any

import pytest

from p2pfed.core.effects import Effect
from p2pfed.core.events import Event
from p2pfed.core.notices import Left, Notice
from p2pfed.core.timers import Timer, TimerKind
from p2pfed.messages import Head, Message, RequestFull
from tests.core.peers import BERT

VALUES = sorted({*Message.__args__, *Event.__args__, *Effect.__args__, *Notice.__args__}, key=str)


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_fields_are_named_and_nothing_has_a_place_in_an_order(kind: Any) -> None:
    assert kind.__match_args__ == ()
    assert not kind.__struct_config__.order


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_values_are_frozen(kind: Any) -> None:
    assert kind.__struct_config__.frozen
    value = kind(**dict.fromkeys(kind.__struct_fields__))
    for name in kind.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(value, name, 1)


def test_values_are_equal_if_class_and_fields_are() -> None:
    timer = Timer(kind=TimerKind.REDIAL, generation=1, peer=BERT.peer)
    same = Timer(generation=1, peer=BERT.peer, kind=TimerKind.REDIAL)
    assert timer == same
    assert hash(timer) == hash(same)
    assert timer != Timer(kind=TimerKind.REDIAL, generation=2, peer=BERT.peer)
    assert RequestFull(author=BERT.peer) != Left()


def test_the_text_of_a_value_is_its_class_and_fields() -> None:
    # Digests of traces are made of it.
    head = Head(author=b"a", incarnation=1, sequence=2)  # type: ignore[arg-type]
    assert repr(head) == "Head(author=b'a', incarnation=1, sequence=2)"
    timer = Timer(kind=TimerKind.START, generation=1)
    text = "Timer(kind=<TimerKind.START: 'start'>, generation=1, peer=None, content_hash=None)"
    assert repr(timer) == text
