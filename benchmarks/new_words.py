"""Words that the embedded model's generator never writes: ordinary ones outside its lists, and names of another make.

Knows: lists, and drawing entities from them. Refuses to know: models, sentences.
"""

import random
from typing import Final

from agent.household.language import EntityDrawer

ADJECTIVES: Final = """
crimson burgundy scarlet beige maroon frosted quilted tarnished crumpled oblong slender chunky glossy woolly rugged
brittle lacquered engraved tinted wobbly squeaky scuffed pleated varnished chipped padded ribbed tapered gilded charred
""".split()  # noqa: SIM905

NOUNS: Final = """
tambourine harmonica abacus hourglass spatterdash teabag clipboard thesaurus gauntlet hammock metronome padlock pliers
protractor rosary saucer scarecrow sextant sousaphone stethoscope sundial tankard tiara tricycle tripod trowel
typewriter vinyl wheelbarrow wristband xylophone yoyo zipper anvil bobbin chisel crowbar decanter easel goblet
""".split()  # noqa: SIM905

ROOMS: Final = """
scullery buttery vestibule mezzanine solarium gazebo pavilion chapel dungeon aviary smokehouse kennel crypt foyer
cloister rotunda archive armoury refectory infirmary dormitory sauna penthouse bungalow lighthouse
""".split()  # noqa: SIM905

FURNITURE: Final = """
ottoman futon divan settee pedestal lectern cradle bassinet chaise credenza bureau tabletop manger crib pouffe
humidor wardstone windowpane bookend doormat hatstand radiator dishwasher samovar chiffonier
""".split()  # noqa: SIM905

NAMES: Final = """
xylandra quorfin thessaly ughtred bjarnvik mwangaza siobhan nguyen tchaikov przemek ysolde aoife llewelyn vjekoslav
zsofia djamila hjordis qasim eoghan ffion gwyndaf ngozi oluwaseun rhys tshepo wojciech yngvild xochitl ekaterina
abimbola bronagh caoimhe dmitriy fyodor guðrún iolanthe kwabena mehmet oyelaran thorvald
""".split()  # noqa: SIM905


class NewWordsDrawer(EntityDrawer):
    """Draws every subject, place and value from this module's lists."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng, split="held_out", made_up_share=0.0)

    def adjective(self) -> str:
        return self.rng.choice(ADJECTIVES)

    def noun(self) -> str:
        return self.rng.choice(NOUNS).replace("-", " ")

    def room(self) -> str:
        return self.rng.choice(ROOMS)

    def furniture(self) -> str:
        return self.rng.choice(FURNITURE)

    def name(self) -> str:
        return self.rng.choice(NAMES)

    def favourite_value(self, kind: str) -> str:
        return f"{self.adjective()} {self.noun()}" if self.rng.random() < 0.5 else self.noun()
