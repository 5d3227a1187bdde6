"""Attacks as pure functions of what a liar knows; each names the paper that it comes from."""

from sim.adversaries.attacks.registry import attack_names as attack_names
from sim.adversaries.attacks.registry import create_attack as create_attack
from sim.adversaries.attacks.registry import create_data_attack as create_data_attack
from sim.adversaries.attacks.registry import data_attack_names as data_attack_names
from sim.adversaries.attacks.registry import rank_attack_names as rank_attack_names
from sim.adversaries.attacks.registry import register_attack as register_attack
