"""Which attacks are played in which life of a pipeline: all of it follows from the seed."""

from __future__ import annotations

import random
from typing import NamedTuple

from tests.chaos.attack import Attack

# Attacks that one pipeline lives through: to start one costs as much as an attack or two.
SHORT_LIFE, LIFE = 10, 25
SHORT_CAMPAIGN = 100


class Turn(NamedTuple):
    """One attack to be played; ``chance``: what its random choices follow from."""

    name: str
    chance: str


def schedule(attacks: dict[str, Attack], seed: int, count: int) -> list[list[Turn]]:
    """Return the lives of a campaign: every case once before any attack comes a second time."""
    chance = random.Random(seed)
    names: list[str] = []
    for case in sorted({attack.case for attack in attacks.values()} - {""}):
        names.append(chance.choice([attack.name for attack in attacks.values() if attack.case == case]))
    rest = [name for name in attacks if name not in names]
    while len(names) < count:
        chance.shuffle(rest)
        names += rest
        rest = list(attacks)
    names = names[:count]
    chance.shuffle(names)
    turns = [Turn(name, f"{seed}.{number}") for number, name in enumerate(names)]
    lives = -(-count // (SHORT_LIFE if count <= SHORT_CAMPAIGN else LIFE))
    return [turns[life::lives] for life in range(lives)]
