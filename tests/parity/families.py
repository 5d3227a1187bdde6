"""One method of each family, as tables of a run file for the digits."""

_ADAPTED = {"targets": ["0"], "modules": ["2"]}

# By name of the method: its table, the codec's, and a learning rate.
FAMILIES = {
    "full": ({}, {"name": "float32"}, 0.1),
    "lora": ({"rank": 4, **_ADAPTED}, {"name": "int4"}, 0.3),
    "fed-sb": ({"rank": 16, **_ADAPTED}, {"name": "float32"}, 1.0),
    "ranks": ({}, {"name": "ballot"}, 0.4),
    "seeds": ({}, {"name": "operation"}, 0.005),
    "projected": ({"epoch_count": 4}, {"name": "operation"}, 0.1),
    "sparse-sum": ({"peer_count": 4}, {"name": "sparse", "chunk": 256, "kept": 16}, 0.02),
    "adapter-set": ({"rank": 4}, {"name": "operation"}, 0.02),
}
# Those whose model is a ledger: everybody needs every entry of everybody.
LEDGERS = ("seeds", "projected", "sparse-sum", "adapter-set")


def tables_of(name, *, steps=5):
    """Return the tables `method`, `codec`, `training` and `integration` of a family."""
    constants, codec, rate = FAMILIES[name]
    return {
        "method": {"name": name, **constants},
        "codec": codec,
        "training": {
            "steps_per_round": steps,
            "threads": 1,
            "device": "cpu",
            "step_rule": {"name": "sgd", "learning_rate": rate},
        },
        "integration": {"rule": "rank-vote" if name == "ranks" else "mean"},
    }
