"""The words of the household: ordinary English ones, and made-up ones without end.

Knows: word lists, their split into `train` and `held_out`, and how a new word is made up from syllables.
Refuses to know: sentences, relations, models.

The split is by a stable hash of the word, so that a word never changes sides when the lists grow.
`held_out` words occur in no training text of the embedded model; benchmarks and the demo draw from them.
"""

import hashlib
import random
from collections.abc import Sequence
from typing import Final, Literal

Split = Literal["train", "held_out"]

ADJECTIVES: Final = """
red blue green yellow white black brown grey pink purple orange golden silver copper brass wooden steel glass paper
leather woollen cotton plastic ceramic old new small large tiny huge round square long short thin thick heavy light
broken cracked shiny dull clean dusty striped spotted plain painted empty full warm cold soft hard smooth rough sharp
folded rusty torn lost spare cheap fancy royal antique modern crooked bent curved narrow wide tall flat hollow solid
bright pale dark velvet marble bamboo enamel checkered floral foreign carved knitted woven polished faded sticky
""".split()  # noqa: SIM905

NOUNS: Final = """
mug cup plate bowl fork spoon knife pan pot kettle teapot jug jar bottle glass tray basket bucket broom mop brush
sponge towel blanket pillow curtain carpet cushion candle lamp lantern torch clock mirror vase picture frame book
notebook diary letter envelope stamp pencil pen ruler eraser scissors stapler folder map ticket coin purse wallet key
lock chain rope ladder hammer saw drill screwdriver wrench nail shovel rake hose umbrella coat jacket scarf glove hat
cap boot shoe sandal slipper sock belt button needle thread ribbon comb razor soap toothbrush bandage pill thermometer
camera radio phone charger battery cable keyboard laptop speaker headset guitar violin flute drum whistle bell ball
kite puzzle doll robot marble dice card chessboard racket skate helmet backpack suitcase parcel box tin crate barrel
apron oven-glove corkscrew grater sieve funnel whisk ladle spatula napkin tablecloth cookbook recipe pepper-mill
flask thimble magnet compass telescope binoculars magnifier globe trophy medal badge necklace bracelet ring brooch
locket figurine statue shell pebble feather acorn seed-bag watering-can flowerpot birdcage leash collar fishbowl
""".split()  # noqa: SIM905

ROOMS: Final = """
kitchen bathroom bedroom hallway garden garage attic cellar basement study library pantry nursery balcony terrace porch
laundry workshop office lounge den conservatory greenhouse shed barn stable studio gallery playroom sunroom cloakroom
larder parlour courtyard driveway loft boathouse corridor lobby veranda music-room dining-room guest-room tower
""".split()  # noqa: SIM905

FURNITURE: Final = """
drawer cupboard shelf table bench chest wardrobe cabinet desk bookcase sofa armchair stool bed dresser sideboard
fireplace windowsill counter sink stove fridge freezer bathtub washbasin trunk locker rack hook ledge alcove stand
bin hamper footstool mantelpiece piano trolley safe showcase
""".split()  # noqa: SIM905

PREPOSITIONS: Final = ("in", "on", "under", "behind", "beside", "near")

NAMES: Final = """
mira tomas anna peter julia oscar lena victor nora felix clara simon emma hugo alice bruno sofia martin laura daniel
helen robert irene walter diana frank ruth george maria paul vera leo ida max olga ben ella sam zoe tim kate adam rose
carl jane ivan lucy noah amy luke grace mark eva john lily omar fatima yusuf layla chen wei mei hiro yuki kenji priya
arjun ravi asha diego carmen pablo lucia marco giulia pierre claire jean yvette lars ingrid bjorn astrid piotr ewa
""".split()  # noqa: SIM905

_FAVOURITES: Final = {
    "drink": "green tea|black coffee|apple juice|hot chocolate|lemonade|ginger beer|mint tea|orange juice|oat milk|iced tea|red wine|tomato juice",
    "food": "pea soup|rye bread|fried rice|plum cake|potato salad|pizza|pancakes|noodles|bean stew|fish pie|roast carrots|goat cheese",
    "fruit": "apple|pear|plum|cherry|mango|banana|grape|melon|lemon|peach|fig|kiwi",
    "colour": "dark red|sky blue|moss green|lemon yellow|ivory|charcoal|violet|turquoise|amber|rose|navy|lilac",
    "game": "chess|checkers|dominoes|hide and seek|darts|bowling|tag|cards|marbles|billiards|bingo|table tennis",
    "song": "silver river|old mill lane|morning star|the long road|winter bells|blue harbour|paper moon|wild geese|first snow|night train|summer rain|open sky",
    "animal": "otter|badger|heron|tortoise|rabbit|pony|goldfish|sparrow|hedgehog|lynx|donkey|squirrel",
    "flower": "tulip|daisy|poppy|iris|lily of the valley|sunflower|peony|lavender|snowdrop|orchid|dahlia|crocus",
    "season": "early spring|late summer|autumn|deep winter|the rainy season|harvest time",
    "day": "monday|tuesday|wednesday|thursday|friday|saturday|sunday",
    "book": "the lost island|a winter tale|stone and sea|the clockmaker|seven doors|the quiet valley|letters home|the glass key",
    "sport": "rowing|fencing|archery|skating|climbing|cycling|swimming|judo|badminton|hockey|cricket|sailing",
    "smell": "fresh bread|wet grass|cedar wood|coffee beans|sea air|vanilla|pine needles|old paper",
    "instrument": "cello|oboe|banjo|accordion|harp|trumpet|clarinet|mandolin|tuba|bassoon|organ|zither",
}
FAVOURITES: Final[dict[str, list[str]]] = {kind: values.split("|") for kind, values in _FAVOURITES.items()}

_ONSETS: Final = ("b", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z", "br", "dr", "gl", "kr", "pl", "st", "tr")
_VOWELS: Final = ("a", "e", "i", "o", "u")
_CODAS: Final = ("", "", "", "l", "m", "n", "r", "s", "t", "x")

HELD_OUT_SHARE: Final = 0.25


def split_of(word: str) -> Split:
    """The side of the train / held-out split on which an ordinary word stands, by a stable hash."""
    digest = hashlib.sha256(word.encode()).digest()
    return "held_out" if digest[0] < 256 * HELD_OUT_SHARE else "train"


def words_of(words: Sequence[str], split: Split) -> list[str]:
    """The words of a list that stand on one side of the split (never empty for the lists of this module)."""
    return [word for word in words if split_of(word) == split]


_LISTED: Final = frozenset(
    " ".join(
        [*ADJECTIVES, *NOUNS, *ROOMS, *FURNITURE, *NAMES, *(value for values in FAVOURITES.values() for value in values)]
    ).split()
)
_CUT_FROM: Final = [
    *(word for words in (ADJECTIVES, NOUNS, ROOMS, FURNITURE, NAMES) for word in words_of(words, "train")),
    *"""
    about after again always anybody around because before believe between circle cloud daughter early earth either
    embark empire enough even evening every example father fickle finger forest friend garbage giant gentle happy heaven
    human humble hundred idea imagine island journey jump kitten knowledge lady leave letter little machine minute
    moment morning mountain mother never nothing number ocean often opinion other outside people perhaps picture please
    power pretty question quick quiet really remember river school second secret seven shoulder simple sister something
    special spring story strange summer sudden together tomorrow travel trouble ugly uncle under unless until usual
    valley village visit voice water weather whisper window winter wonder world yellow yesterday young
    """.split(),  # noqa: SIM905
]
CUT_SHARE: Final = 0.45


def _cut(rng: random.Random) -> str:
    """A few letters out of an ordinary word, often its beginning."""
    word = rng.choice(_CUT_FROM)
    start = 0 if rng.random() < 0.5 else rng.randrange(max(1, len(word) - 1))
    return word[start : start + rng.choice((2, 3, 3, 4, 5))]


def made_up_word(rng: random.Random, num_syllables: int | None = None) -> str:
    """A word that no list holds and that is (almost surely) new: two or three syllables, such as `kralo`, or letters
    cut from ordinary words and put together, such as `evlant`, in which no run of letters is too rare to be met.
    """
    while True:
        count = num_syllables or rng.choice((2, 2, 3))
        if rng.random() < CUT_SHARE:
            word = "".join(_cut(rng) for _ in range(count - rng.choice((0, 0, 1)))).replace("-", "")
        else:
            word = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(count)) + rng.choice(_CODAS)
        if len(word) > 2 and word not in _LISTED:
            return word
