"""`p2pfed topology show`: numbers that can be worked out by hand."""

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
