"""The core is light: whoever only wants the protocol loads neither learning nor network."""

import subprocess
import sys


def test_the_core_loads_neither_torch_nor_trio() -> None:
    code = (
        "import sys, p2pfed.core.peer;"
        "heavy = {'torch', 'trio', 'libp2p', 'peft', 'transformers', 'numpy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
