"""`p2pfed topology`: numbers that can be worked out by hand."""

import math

import pytest


def test_ring(p2pfed):
    found = p2pfed.json("topology", "show", "ring", "--nodes", 16)
    # Neighbors of degree 2 get 1/3 each: the eigenvalues are (1 + 2 cos(2 pi k / 16)) / 3.
    second = (1 + 2 * math.cos(2 * math.pi / 16)) / 3
    assert found["spectral_gap"] == pytest.approx(1 - second)
    assert found["contraction_per_round"] == pytest.approx(second)
    assert (found["edges"], found["diameter"], found["is_bipartite"]) == (16, 8, True)
    assert (found["degree_min"], found["degree_mean"], found["degree_max"]) == (2, 2, 2)
    # From each node two at 1 to 7 and one at 8: (2 * 28 + 8) / 15.
    assert found["average_path"] == pytest.approx(64 / 15)


def test_star_and_complete(p2pfed):
    star = p2pfed.json("topology", "show", "star", "--nodes", 5)
    assert (star["edges"], star["diameter"], star["degree_mean"]) == (4, 2, 1.6)
    assert (star["degree_min"], star["degree_max"], star["is_bipartite"]) == (1, 4, True)
    complete = p2pfed.json("topology", "show", "complete", "--nodes", 5)
    assert (complete["diameter"], complete["is_bipartite"]) == (1, False)
    assert complete["spectral_gap"] == pytest.approx(1.0)


def test_parameters_and_seed(p2pfed):
    words = ("topology", "show", "k-regular", "--nodes", 12, "--set", "degree=4")
    found = p2pfed.json(*words)
    assert (found["edges"], found["parameters"]) == (24, {"degree": 4})
    assert p2pfed.json(*words) == found
    gaps = {p2pfed.json(*words, "--seed", seed)["spectral_gap"] for seed in range(4)}
    assert len(gaps) > 1


def test_shown_to_people(p2pfed):
    assert p2pfed("topology", "show", "ring", "--nodes", 16) == 0
    assert "spectral gap" in p2pfed.out
    assert "0.05075" in p2pfed.out


@pytest.mark.slow
def test_plot(p2pfed, tmp_path):
    p2pfed.json("topology", "show", "ring", "--nodes", 8, "--plot", "ring.png")
    assert (tmp_path / "ring.png").read_bytes().startswith(b"\x89PNG")
    error = p2pfed.error("topology", "show", "ring", "--nodes", 8, "--plot", "ring.jpg", code=2)
    assert ".png" in error["fix"]
    code = p2pfed("topology", "show", "ring", "--nodes", 8, "--plot", "no/folder.png")
    assert code == 3
    assert "no/folder.png" in p2pfed.err


def test_nodes_have_an_option_of_their_own(p2pfed):
    words = ("topology", "show", "ring", "--nodes", 8, "--set", "nodes=9")
    assert "--nodes 9" in p2pfed.error(*words, code=2)["fix"]


def test_mixing_and_steps(p2pfed):
    found = p2pfed.json("topology", "show", "ring", "--nodes", 16, "--steps", 4)
    factor = (1 + 2 * math.cos(2 * math.pi / 16)) / 3
    assert found["spectral_gap"] == pytest.approx(1 - factor)
    assert found["contraction_per_round"] == pytest.approx(factor**4)
    assert found["rounds_to_thousandth"] == math.ceil(math.log(1e-3) / math.log(factor) / 4)
    lazy = p2pfed.json("topology", "show", "ring", "--nodes", 16, "--mixing", "lazy")
    assert lazy["spectral_gap"] == pytest.approx(found["spectral_gap"] / 2)
    error = p2pfed.error("topology", "show", "ring", "--nodes", 9, "--mixing", "fair", code=2)
    assert "use one of" in error["fix"]


def test_effective_neighbors(p2pfed):
    words = ("topology", "show", "ring", "--nodes", 9, "--decay")
    assert p2pfed.json(*words, 0)["effective_neighbors"] == pytest.approx(3.0)
    assert "decay=1.0" in p2pfed.error(*words, 1.0, code=2)["fix"]


@pytest.mark.slow
def test_large_topologies_are_measured_in_part(p2pfed):
    found = p2pfed.json("topology", "show", "k-regular", "--nodes", 1200, "--set", "degree=4")
    assert found["paths_sampled"]
    assert 6 <= found["diameter"] <= 12
    small = p2pfed.json("topology", "show", "ring", "--nodes", 8)
    assert not small["paths_sampled"]


def test_file(p2pfed, tmp_path):
    (tmp_path / "sites.txt").write_text("a b\nb c\n", encoding="utf-8")
    words = ("topology", "show", "file", "--set", "path=sites.txt", "--nodes")
    assert p2pfed.json(*words, 3)["edges"] == 2
    assert "use nodes=3" in p2pfed.error(*words, 4, code=2)["fix"]


def test_topologies_that_change(p2pfed):
    found = p2pfed.json("topology", "show", "one-peer-exponential", "--nodes", 16)
    assert (found["rounds"], found["period"], found["sends_mean"]) == (4, 4, 1)
    assert found["contraction"] == pytest.approx(0.0, abs=1e-12)
    words = ("topology", "show", "epidemic", "--nodes")
    for option, value in (("plot", "a.png"), ("mixing", "lazy"), ("steps", 2), ("decay", 0.5)):
        refused = p2pfed.error(*words, 8, f"--{option}", value, code=2)
        assert (refused["field"], refused["value"]) == (option, value)
        assert "leave it out" in refused["fix"]
    assert "at most 1000" in p2pfed.error(*words, 2000, code=2)["fix"]


def test_recommend(p2pfed):
    words = ("topology", "recommend", "--nodes", 16, "--degree", 4, "--byzantine-share", 0.2)
    found = p2pfed.json(*words)
    assert found["chosen"] == found["candidates"][0]
    assert found["chosen"]["exposure"]["liars"] == 4
    assert p2pfed(*words) == 0
    assert found["reasons"][0] in p2pfed.out
    assert "payloads" in p2pfed.out
    assert "…" not in p2pfed.out  # nothing is cut
    shown = p2pfed.out.strip().splitlines()[-1].split()[1:]
    again = p2pfed.json(*shown)
    assert again["spectral_gap"] == pytest.approx(found["chosen"]["spectral_gap"])


def test_recommend_refuses_what_cannot_be(p2pfed):
    words = ("topology", "recommend", "--nodes", 16, "--degree", 1)
    assert "use at least 2" in p2pfed.error(*words, code=2)["fix"]


def test_labels_of_a_file_stand_beside_the_numbers(p2pfed, tmp_path):
    (tmp_path / "sites.txt").write_text("Rome Oslo\nOslo Lima\n", encoding="utf-8")
    words = ("topology", "show", "file", "--set", "path=sites.txt", "--nodes", 3)
    assert p2pfed.json(*words)["labels"] == {"0": "Lima", "1": "Oslo", "2": "Rome"}
    assert p2pfed(*words) == 0
    lines = [line.split() for line in p2pfed.out.splitlines()]
    assert lines[-3:] == [["labels", "0:", "Lima"], ["1:", "Oslo"], ["2:", "Rome"]]


@pytest.mark.parametrize("text", ["0 1\n1 2\n", "2 1\n1 0\n"])
def test_labels_that_are_the_numbers_are_not_shown(p2pfed, tmp_path, text):
    (tmp_path / "sites.txt").write_text(text, encoding="utf-8")
    words = ("topology", "show", "file", "--set", "path=sites.txt", "--nodes", 3)
    assert p2pfed.json(*words)["labels"] is None
    assert p2pfed(*words) == 0
    assert "labels" not in p2pfed.out
    assert p2pfed.json("topology", "show", "ring", "--nodes", 3)["labels"] is None


def test_many_labels_are_cut_for_people(p2pfed, tmp_path):
    edges = [f"p{number:03} p{number + 1:03}" for number in range(59)]
    (tmp_path / "line.txt").write_text("\n".join(edges), encoding="utf-8")
    words = ("topology", "show", "file", "--set", "path=line.txt", "--nodes", 60)
    assert len(p2pfed.json(*words)["labels"]) == 60
    assert p2pfed(*words) == 0
    assert p2pfed.out.splitlines()[-2:] == [
        line for line in p2pfed.out.splitlines() if "49: p049" in line or "and 10 more" in line
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("kregular", "k-regular"),
        ("watts_strogatz", "watts-strogatz"),
        ("Ring", "ring"),
        ("one-peer", "one-peer-exponential"),
        ("epidemics", "epidemic"),
    ],
)
def test_a_wrong_name_lists_all_and_says_what_was_meant(p2pfed, name, meant):
    error = p2pfed.error("topology", "show", name, "--nodes", 8, code=2)
    assert (error["field"], error["value"]) == ("topology", name)
    assert "torus" in error["fix"]
    assert "of those that change: epidemic" in error["fix"]
    assert error["fix"].endswith(f"; did you mean '{meant}'?")
