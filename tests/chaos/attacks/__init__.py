"""All attacks. Importing this enters them into the catalogue."""

from tests.chaos.attack import CATALOGUE, Attack
from tests.chaos.attacks import disks, files, network, operators, processes, resources, venue

ATTACKS: dict[str, Attack] = CATALOGUE.attacks
__all__ = ["ATTACKS", "disks", "files", "network", "operators", "processes", "resources", "venue"]
