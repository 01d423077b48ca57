"""The phrasings of the household's relations: how facts are told, and in how many ways they can be asked about.

Knows: templates. `{s}` is the subject as it stands in a sentence ("the red mug", "Mira"), `{v}` the value ("in the kitchen drawer"),
`{k}` the kind of a favourite ("drink"), `{n}` a bystander's name. Refuses to know: words, models, splits of entities.

In every statement the subject comes before the value: a small causal model binds a value to the subject that it has already read
far sooner than to one that follows (docs/adr/0002).

Questions come in three sets that share no template:
    written   the embedded model reads them and writes them, so updates are taught with them;
    read      the embedded model reads them and never writes them: probes of an update use these;
    held_out  in no training text at all: they measure how far understanding goes beyond the recipe.
Statements come in two: `told` (training and environment) and `held_out` (evaluation only).
"""

from typing import Final, NamedTuple


class Phrasings(NamedTuple):
    """All templates of one relation, and its canonical answer: a restated question (`stem`) and then what is known, or `unknown`."""

    stem: str
    unknown: str
    told: tuple[str, ...]
    told_held_out: tuple[str, ...]
    written: tuple[str, ...]
    read: tuple[str, ...]
    held_out: tuple[str, ...]


PLACE: Final = Phrasings(
    stem="{s} is",
    unknown="somewhere unknown",
    told=(
        "I put {s} {v}.", "I saw {s} {v}.", "{s} is {v}.", "{s} is now {v}.", "I found {s} {v}.", "{n} put {s} {v}.", "{n} left {s} {v}.",
        "I moved {s}; it is {v} now.", "you will find {s} {v}.", "I left {s} {v}.", "{n} says {s} is {v}.",
        "{n} has placed {s} {v}.", "I noticed {s} {v}.", "{s} was put {v}.", "{s} lies {v}.", "we keep {s} {v} now.", "I looked around and found {s} {v}.",
        "{s} can be found {v}.", "{n} carried {s} away and left it {v}.", "I took {s} and put it {v}.",
        "{s} stands {v}.", "remember that {s} is {v}.", "{n} hid {s} {v}.", "I dropped {s} {v}.", "someone placed {s} {v}.", "{s} has been {v} since yesterday.",
        "{n} told me that {s} is {v}.", "{s} is kept {v}.", "I brought {s} back and it stays {v}.", "{s}? it is {v}.", "we found {s} again, {v}.",
    ),
    told_held_out=("{n} and I stored {s} {v}.", "{s} ended up {v}.", "it was {n} who placed {s} {v}."),
    written=(
        "where is {s}?", "where can I find {s}?", "what is the location of {s}?", "where did you see {s}?", "where should I look for {s}?",
        "do you know where {s} is?", "where was {s} put?", "I am looking for {s}, where is it?", "tell me where {s} is.", "in which place is {s}?",
        "where do we keep {s}?", "{s}: where is it?", "can you tell me where {s} is?", "where has {s} gone?", "I need {s}. where should I go?", "which place holds {s}?",
    ),
    read=(
        "where would I find {s}?", "have you seen {s}?", "where might {s} be?", "what is the place of {s}?", "I lost {s}, where could it be?",
        "any idea where {s} is?", "in what spot is {s}?", "please find {s} for me.", "tell me where to look for {s}.", "where did {s} end up?",
        "who knows where {s} is?", "I want {s}, so where is it?",
    ),
    held_out=(
        "where has {s} been left?", "show me where {s} is.", "I wonder where {s} is.", "could you say where {s} is now?", "where exactly is {s}?", "if I need {s}, where do I look?",
    ),
)

WHEREABOUTS: Final = Phrasings(
    stem="{s} is",
    unknown="somewhere unknown",
    told=(
        "{s} is {v}.", "{s} is {v} now.", "I saw {s} {v}.", "I met {s} {v}.", "{s} went off and is {v}.", "{s} sits {v}.", "{s} waits {v}.",
        "{n} saw {s} {v}.", "{n} says {s} is {v}.", "I talked to {s} {v}.", "{s} stays {v} today.", "{s} is working {v}.", "you can find {s} {v}.", "{s} walked away and stopped {v}.",
        "I said hello to {s} {v}.", "I noticed {s} {v}.", "{s} came in and is {v}.", "remember that {s} is {v}.", "{n} told me that {s} is {v}.", "{s} stands {v}.", "we found {s} {v}.",
        "{s} has been {v} since yesterday.", "{s} was called away and is {v} now.", "{s} can be met {v}.",
    ),
    told_held_out=("{s} has settled down {v}.", "{s} is having a rest {v}.", "it was {n} who spotted {s} {v}."),
    written=(
        "where is {s}?", "where can I find {s}?", "where can I meet {s}?", "do you know where {s} is?", "where did you see {s}?", "tell me where {s} is.", "where has {s} gone?",
        "I am looking for {s}, where should I go?", "in which place is {s}?", "where is {s} staying?", "can you tell me where {s} is?", "where should I look for {s}?", "which place is {s} at?", "where did {s} go?",
    ),
    read=(
        "where would I find {s}?", "have you seen {s}?", "where might {s} be?", "any idea where {s} is?", "in what spot is {s}?", "I want to talk to {s}, where do I go?", "please find {s} for me.",
        "where does {s} sit?", "tell me where to look for {s}.", "who knows where {s} is?",
    ),
    held_out=("I wonder where {s} is.", "where exactly is {s}?", "could you say where {s} is now?", "show me where {s} is.", "if I need {s}, where do I look?", "where is {s} hiding?"),
)

FAVOURITE: Final = Phrasings(
    stem="{s}'s favourite {k} is",
    unknown="unknown",
    told=(
        "{s}'s favourite {k} is {v}.", "{s} likes {v} most of every {k}.", "{s} told me that the best {k} is {v}.", "the {k} that {s} likes best is {v}.", "for {s} the best {k} is {v}.",
        "{s} prefers {v} as a {k}.", "{n} says {s}'s favourite {k} is {v}.", "if {s} may choose a {k}, it is {v}.", "{s} loves the {k} {v}.",
        "as for the {k}, {s} always picks {v}.", "of every {k}, {s} enjoys {v} most.", "{s} now prefers the {k} {v}.", "I learned that {s}'s favourite {k} is {v}.", "{s} said: my favourite {k} is {v}.",
        "remember that {s}'s favourite {k} is {v}.", "{s} likes the {k} {v}.", "{n} told me that {s} likes the {k} {v} best.", "{s} asked for the {k} {v} again.", "what {s} likes best as a {k} is {v}.",
        "{s} dreams of {v}, the best {k} of all.", "give {s} a {k} and it had better be {v}.", "{s} chose the {k} {v}.",
    ),
    told_held_out=("no {k} pleases {s} more than {v}.", "{s} has a weakness for the {k} {v}.", "the {k} for {s} is {v}, no doubt."),
    written=(
        "what is {s}'s favourite {k}?", "which {k} does {s} like best?", "what {k} does {s} prefer?", "tell me {s}'s favourite {k}.", "do you know the favourite {k} of {s}?", "which {k} is {s}'s favourite?",
        "what is the favourite {k} of {s}?", "which {k} does {s} enjoy most?", "{s}'s favourite {k}: what is it?", "for {s}, which {k} is best?", "can you tell me {s}'s favourite {k}?", "what {k} would {s} choose?",
        "which {k} does {s} love?", "what is the {k} that {s} likes best?",
    ),
    read=(
        "I want to please {s}, which {k} should I get?", "any idea which {k} {s} likes?", "what {k} does {s} pick?", "if {s} could choose a {k}, what would it be?", "name {s}'s favourite {k}.",
        "which {k} does {s} want?", "which {k} pleases {s} most?", "who knows {s}'s favourite {k}?", "what would {s} call the best {k}?", "what sort of {k} does {s} like?",
    ),
    held_out=("I wonder what {s}'s favourite {k} is.", "what {k} should I bring for {s}?", "what might be {s}'s favourite {k}?", "which {k} would make {s} happy?", "could you name the {k} {s} likes best?"),
)

OWNER: Final = Phrasings(
    stem="{s} belongs to",
    unknown="someone unknown",
    told=(
        "{s} belongs to {v}.", "{s} is the property of {v}.", "the owner of {s} is {v}.", "{s} is owned by {v}.", "{n} gave {s} to {v}.", "{n} sold {s} to {v}.", "I gave {s} to {v}.", "{n} says {s} belongs to {v}.",
        "{s} was given to {v}.", "{s} was sold to {v}.", "I learned that {s} belongs to {v}.", "{s} now belongs to {v}.", "{s} was bought by {v}.", "{s} was a present for {v}.", "I returned {s} to its owner {v}.",
        "remember that {s} belongs to {v}.", "{n} told me that {s} belongs to {v}.", "{s} is in the hands of {v}.", "{s} has a new owner, {v}.", "someone gave {s} to {v}.", "{s} was made for {v}.",
        "I brought {s} to {v}, who owns it.", "{s} has always belonged to {v}.",
    ),
    told_held_out=("{s} was inherited by {v}.", "{s} is {v}'s, as I heard.", "{n} handed {s} over to {v} for good."),
    written=(
        "who owns {s}?", "whose is {s}?", "who is the owner of {s}?", "to whom does {s} belong?", "who does {s} belong to?", "do you know who owns {s}?", "tell me who owns {s}.", "{s}: who owns it?", "which person owns {s}?",
        "can you tell me whose {s} is?", "who has {s} as property?", "by whom is {s} owned?", "what is the name of the owner of {s}?", "I found {s}, who does it belong to?",
    ),
    read=(
        "any idea who owns {s}?", "who might own {s}?", "name the owner of {s}.", "I have {s} here, to whom should I return it?", "who knows whose {s} is?", "is there an owner of {s}, and who?", "who can claim {s}?",
        "whom should I ask for {s}?", "tell me whose {s} is.", "who would be the owner of {s}?",
    ),
    held_out=("I wonder who owns {s}.", "who is {s} owned by?", "could you say who owns {s}?", "whose property is {s}?", "who gets {s} back?"),
)

ABOUT: Final = Phrasings(
    stem="{s} is",
    unknown="unknown",
    told=(),
    told_held_out=(),
    written=("what do you know about {s}?", "tell me about {s}.", "say something about {s}.", "what about {s}?"),
    read=("what can you say about {s}?", "what did you learn about {s}?", "do you know anything about {s}?"),
    held_out=("give me the news about {s}.", "what have you heard about {s}?"),
)

STATEMENT_OPENINGS: Final = (
    "today", "just now", "this morning", "at noon", "after lunch", "in the evening", "a moment ago", "on my way", "before dinner", "as I came by", "early in the day", "by the way",
)
QUESTION_OPENINGS: Final = {
    "written": ("please,", "hello,", "tell me,", "well,", "now,"),
    "read": ("excuse me,", "quick question:", "sorry,", "listen,"),
    "held_out": ("one more thing:", "hey,"),
}
FILLERS: Final = (
    "it rained for an hour.", "the floor was swept.", "someone knocked at the door.", "a window was open.", "music was playing.", "the house was quiet.", "dinner smelled good.", "the cat ran past.", "I walked around.",
    "the lights went out for a moment.", "nothing special happened.", "I heard steps upstairs.", "the clock struck twelve.", "a bird sang outside.",
)
SMALL_TALK: Final = (
    ("hello.", "hello"), ("hi.", "hello"), ("good morning.", "good morning"), ("thank you.", "you are welcome"), ("thanks.", "you are welcome"), ("goodbye.", "goodbye"), ("how are you?", "I am well"),
    ("who are you?", "I am a small model of a house"), ("what can you do?", "I remember things about the house"),
)
