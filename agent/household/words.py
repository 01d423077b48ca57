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
_COMMON_WORDS: Final = """
able about above accident account across act action adult advice afraid after afternoon again age agree air alarm
album alive allow alone along alphabet already always amount ancient angle angry animal ankle answer ant anybody
anyone apartment appear area argue arm army around arrive arrow artist ask asleep attack aunt autumn avenue awake
award away baby back bacon bad badge bakery balance ballet band bank bargain bark barn base basic battle beach beard
beast beauty because beetle before begin behave belief believe below bend beneath berry best better between beyond
bicycle big bill bird birth bite bitter blade blame blind block blood blow boat body bone border borrow boss bottom
bounce brain branch brave break breath breeze brick bride bridge bring broad brother build bullet bundle burn bus
business busy butcher butter button buy cabin cage calm camel camp canal captain care cargo carry castle cat catch
cattle cause cave cell centre century certain chalk chance change chapter charm chase cheap cheek cheer cheese
cherry chest chicken chief child chimney chin choice choose church circle city claim class clay clean clear clerk
clever cliff climb clothes cloud club clumsy coach coal coast cobweb coconut collect college comfort command common
company compass complain concert cook copy coral corn correct cost cotton cough council count country couple course
cousin cover cow crab crack craft crash crawl cream creature creek crew crime crop cross crow crowd cruel crumb cry
culture custom damage dance danger dark daughter dawn dead deal dear decide deer delay delight deny depth desert
design detail devil dig dinner direct discover disease dish distance dive divide doctor dog dollar dolphin double
doubt down dragon draw dream drive drop dry duck dull dust duty eager eagle ear early earn earth east easy edge
effect effort egg either elbow elephant elm embark empire end enemy energy engine enjoy enough enter equal escape
even evening event every evil exact example except excite expect expert explain extra eye face fact factory fail
faint fair faith fall false fame family famous far farm fast fat fate father favour fear feast feed feel fence fever
few fickle field fierce fight figure fill film find finger fire firm first fit flag flame flash flat flesh flight
float flock flood floor flour flow flower fly fog fold follow fool foot force forest forget forgive form fort
fortune forward fox frame free freeze fresh friend frog front frost frozen fruit fuel full fun fur future gain
gallop game gang gap garbage gas gate gather general gentle ghost giant gift girl give glory glow goal goat gold
good goose grab grace grain grand grass grave great greedy grey grief grind grip ground group grow guard guess guest
guide guilt gulf gun habit hail hair half hall handle hang happen happy harbour hard harm harvest hate have hawk
head health hear heart heat heaven hedge height help herd here hero hide high hill hint history hit hold hole
holiday honest honey hope horizon horn horse hospital host hour huge human humble hundred hunger hunt hurry hurt
husband ice idea ideal ill imagine inch include industry insect inside iron island issue ivy jail jaw jealous jelly
jewel job join joke journey judge juice jump jungle junior just keen keep kernel kick kill kind king kiss kitten
knee kneel knight knock knot know knowledge labour lack lady lake lamb land lane language last late laugh law lay
lead leaf league lean learn least leave leg legend lemon lend length less lesson letter level liar liberty lick lie
life lift light limb limit line lion lip list listen little live load loan local lonely long look loose lord lose
loss lot loud love low loyal luck lump lung machine magic maid mail main major make male man manage many march mark
market marry marsh mass master match matter meal mean measure meat medal meet melt member mend mercy merry mess
metal method middle mild mile milk mill mind mine minor minute miracle miss mist mix model modern moment monkey
monster month mood moon moral more morning most mother motor mountain mouse mouth move much mud murder muscle museum
music must mystery nail name narrow nation native nature near neat neck need nephew nerve nest net never news next
nice night noble noise none noon normal north nose note nothing notice novel now number nurse oak oath obey object
occur ocean odd offer office often oil open opinion orbit order organ origin other ounce outside oven over owe owl
own ox pace pack pain paint pair palace pale palm panic parade parcel pardon parent park parrot part partner party
pass past path pause pay peace peak peasant people perfect perform perhaps permit phrase pick picture piece pig
pigeon pilot pink pirate pity place plain plan planet plant play please plenty plot plough poem poet point poison
pole police polish polite poor popular port position possible potato pour power praise pray prefer prepare present
press pretend pretty price pride priest prince print prison private prize problem process profit promise proof
proper protect proud prove provide public pull pump punish pupil pure purpose push puzzle quarrel quarter queen
question quick quiet quit quite race rage rail rain raise ranch range rapid rare rat raw reach read real really
reason rebel receive record recover reduce refuse region regret relate relax rely remain remember remote repair
repeat reply report rescue rest result retire return reward rhyme rice rich ride right rise risk rival river road
roar roast rob rock roll roof root rough rout row royal rub rude ruin rule run rush sad safe sail saint salad salt
same sand save scale scare scene school score scout scream sea search season seat second secret seed seek seem sell
send sense sentence separate serious serve settle seven shadow shake shame shape share shark sharp sheep shelter
shepherd shield shift shine ship shock shoot shop shore short shoulder shout show shower shy sick side sight sign
signal silence silk simple sin sing sink sister skill skin sky slave sleep slide slip slope slow small smart smell
smile smoke smooth snail snake snow social soft soil soldier solid solve something song soon sore sorry sort soul
sound soup south space spare spark speak special speech speed spell spend spider spirit spite splash split sport
spot spread spring square squirrel stable staff stage stair stand star start state station stay steady steal steam
steep step stick sting stir stomach stone stop storm story straight strange stream street strength stretch strike
string strip strong struggle student stuff stupid subject succeed such sudden suffer sugar suggest suit summer sun
supper supply support suppose sure surface surprise surround swallow swamp swan sweat sweep sweet swim swing sword
system tail take talk tall tame tank taste tax teach team tear tell temper temple tend tennis terror test thank
theft theory thick thief thing think thirst thorn thought threat throat throne through throw thumb thunder tide tie
tiger tight timber time tip tired title tobacco today toe together tomato tomorrow tone tongue tool tooth top total
touch tough tour tower town trace track trade train trap travel tree tremble trial tribe trick trip troop trouble
true trust truth try turkey turn turtle twist type tyre ugly uncle under union unit unless until upper urge use
usual vain valley value van vanish variety vast vein verb very vessel victim view village violin virtue visit voice
vote voyage wage wagon wait wake walk wall wander want war warm warn wash waste watch water wave way weak wealth
weapon wear weather weave wedding weed week weight welcome west whale wheat wheel while whip whisper whistle whole
wicked widow wife wild will win wind window wing winter wise wish wolf woman wonder wood wool word work world worm
worry worth wound wrap wreck wrist write wrong yard yawn year yellow yesterday yet yield young youth zebra zero
""".split()  # noqa: SIM905
"""Everyday words that the lists above may lack: whole and in parts they show the model the letters of English."""

_CUT_FROM: Final = [
    *(word for words in (ADJECTIVES, NOUNS, ROOMS, FURNITURE, NAMES) for word in words_of(words, "train")),
    *(word for word in _COMMON_WORDS if word not in _LISTED or split_of(word) == "train"),
]
KNOWN_WORDS: Final = frozenset(_LISTED | set(_COMMON_WORDS))
"""Every ordinary word that the generator may write, whole or in part, held-out ones included."""

CUT_SHARE: Final = 0.6
NUMBER_SHARE: Final = 0.03
ACCENT_SHARE: Final = 0.04
ACCENTED: Final = ("aàáâãäåą", "cçćč", "dð", "eèéêëęě", "gğ", "iíîï", "lł", "nñńň", "oóôõöøő", "rř", "sśšş", "uúùûüůű", "yý", "zźżž")
SHORTEST: Final = 3
LONGEST: Final = 12


def _cut(rng: random.Random) -> str:
    """Letters out of an ordinary word, often its beginning, sometimes all of it."""
    word = rng.choice(_CUT_FROM)
    start = 0 if rng.random() < 0.6 else rng.randrange(max(1, len(word) - 1))
    return word[start : start + rng.choice((2, 3, 3, 4, 5, LONGEST))]


def _accented(word: str, rng: random.Random) -> str:
    """The word with one of its letters, if any of them has accented forms, as one of these."""
    places = [(index, forms) for index, letter in enumerate(word) for forms in ACCENTED if letter == forms[0]]
    index, forms = rng.choice(places) if places else (0, "")
    return word[:index] + rng.choice(forms[1:]) + word[index + 1 :] if forms else word


def made_up_word(rng: random.Random, num_syllables: int | None = None) -> str:
    """A word that no list holds and that is (almost surely) new: two or three syllables, such as `kralo`, or letters
    cut from ordinary words and put together, such as `evlant`, in which no run of letters is too rare to be met. Now
    and then one has an accent, as in `kraló`, or is a number, such as `42` or `k7`.
    """
    if rng.random() < NUMBER_SHARE:
        return f"{rng.choice(('', '', rng.choice(_ONSETS)))}{rng.randrange(10 ** rng.randint(1, 3))}"
    while True:
        count = num_syllables or rng.choice((2, 2, 3))
        if rng.random() < CUT_SHARE:
            word = "".join(_cut(rng) for _ in range(count - rng.choice((0, 0, 1)))).replace("-", "")
        else:
            word = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(count)) + rng.choice(_CODAS)
        if SHORTEST <= len(word) <= LONGEST and word not in _LISTED:
            return _accented(word, rng) if rng.random() < ACCENT_SHARE else word
