"""Records of peers in virtual time, for tests."""

import dataclasses
import json
from contextlib import ExitStack, closing, contextmanager

from p2pfed.node.record_lines import sum_of
from p2pfed.node.recording import Recorder, RecordFile
from tests.core.peers import ANNA, BERT, make_config, make_update
from tests.core.solo import Solo


class RecordedCore:
    """A core whose events are recorded."""

    def __init__(self, write, config, identity, entropy, records):
        self._recorder = Recorder(write, config, identity, entropy=entropy, records=records)
        self.handle = self._recorder.handle
        self.end = self._recorder.end

    def __getattr__(self, name):
        return getattr(self._recorder.core, name)


@contextmanager
def recorded(world, folder):
    """Record every peer of a world from now on; yield the records' paths by number."""
    with ExitStack() as stack:
        yield _record(world, folder, stack)


def _record(world, folder, stack):
    paths = {}
    for host in world.hosts:
        paths[host.index] = folder / f"peer-{host.index}.record"
        file = stack.enter_context(closing(RecordFile(paths[host.index], host.peer)))

        def make(config, identity, entropy, records, file=file):
            return RecordedCore(file.write, config, identity, entropy, records)

        host.member = dataclasses.replace(host.member, make_core=make)
    return paths


def record_solo(path, *, entropy=b"first life", records=None, ends=True):
    """Record two rounds of a peer with one neighbor; return what it saved."""
    file = RecordFile(path, ANNA.peer)
    core = RecordedCore(file.write, make_config(), ANNA, entropy, records or {})
    peer = Solo(core)
    peer.disk.update(records or {})
    peer.start()
    peer.greet(BERT)
    peer.train()
    peer.fetch(BERT, make_update(BERT))
    peer.validate()
    peer.integrate(score=0.5)
    if ends:
        core.end()
    file.close()
    return peer.disk


def read(path):
    """Return the lines of a record without their sums."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: it for name, it in line.items() if name != "sum"} for line in lines]


def write(path, lines):
    """Write lines with sums that are right."""
    before, texts = "", []
    for line in lines:
        before = "" if line.get("line") == "begin" else before
        text = json.dumps(line, separators=(",", ":"))[:-1]
        before = sum_of(before, text)
        texts.append(f'{text},"sum":"{before}"}}\n')
    path.write_text("".join(texts))
