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


_SOMEBODY: Final = ("I", "{n}", "we", "they", "my sister", "the gardener", "somebody")


def _by_somebody(verbs: tuple[str, ...], rest: str) -> tuple[str, ...]:
    """One template a verb, each with another person who does it."""
    return tuple(f"{_SOMEBODY[index % len(_SOMEBODY)]} {verb} {rest}" for index, verb in enumerate(verbs))


def _is_there(subject: str, verbs: tuple[str, ...], rest: str) -> tuple[str, ...]:
    return tuple(f"{subject} {verb} {rest}" for verb in verbs)


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
        *_by_somebody(("laid", "set", "placed", "stowed", "dropped", "hid", "forgot", "kept", "pushed", "threw"), "{s} {v}."),
        *_is_there("{s}", ("sits", "rests", "stays", "remains", "hangs", "must be", "should be", "is still", "is back", "was left", "was seen", "got put", "will stay", "has been put"), "{v}."),
        "if you want {s}, go and look {v}.", "look for {s} {v}.", "when I came in, {s} was {v}.", "there was {s}, {v}.", "guess what, {s} is {v}.", "{n} asked me to put {s} {v}, so I did.",
        "I am sure that {s} is {v}.", "{s}, which I had lost, is {v}.", "do not worry about {s}, it is {v}.",
    ),
    told_held_out=("{n} and I stored {s} {v}.", "{s} ended up {v}.", "it was {n} who placed {s} {v}."),
    written=(
        "where is {s}?", "where can I find {s}?", "what is the location of {s}?", "where did you see {s}?", "where should I look for {s}?",
        "do you know where {s} is?", "where was {s} put?", "I am looking for {s}, where is it?", "tell me where {s} is.", "in which place is {s}?",
        "where do we keep {s}?", "{s}: where is it?", "can you tell me where {s} is?", "where has {s} gone?", "I need {s}. where should I go?", "which place holds {s}?",
        "where does {s} lie?", "where is {s} now?", "where could I get {s}?", "in what place did you see {s}?", "I have to use {s}, where is it?", "what is the right place to look for {s}?",
    ),
    read=(
        "where would I find {s}?", "have you seen {s}?", "where might {s} be?", "what is the place of {s}?", "I lost {s}, where could it be?",
        "any idea where {s} is?", "in what spot is {s}?", "please find {s} for me.", "tell me where to look for {s}.", "where did {s} end up?",
        "who knows where {s} is?", "I want {s}, so where is it?",
        "do you remember where {s} is?", "has anyone seen {s}?", "{s} is missing, where is it?", "help me find {s}.", "where can {s} be found?", "where does {s} stand?", "let me know where {s} is.",
        "I cannot find {s}.", "what place is {s} at?", "where on earth is {s}?",
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
        *_by_somebody(("visited", "greeted", "met", "left", "saw", "found", "noticed"), "{s} {v}."),
        *_is_there("{s}", ("rests", "remains", "sleeps", "must be", "should be", "is still", "is back", "was seen", "went to be", "is busy", "is reading", "is sitting", "is standing"), "{v}."),
        "if you want {s}, go and look {v}.", "when I came in, {s} was {v}.", "there was {s}, {v}.", "guess what, {s} is {v}.", "I am sure that {s} is {v}.", "ask {s}, who is {v}.",
    ),
    told_held_out=("{s} has settled down {v}.", "{s} is having a rest {v}.", "it was {n} who spotted {s} {v}."),
    written=(
        "where is {s}?", "where can I find {s}?", "where can I meet {s}?", "do you know where {s} is?", "where did you see {s}?", "tell me where {s} is.", "where has {s} gone?",
        "I am looking for {s}, where should I go?", "in which place is {s}?", "where is {s} staying?", "can you tell me where {s} is?", "where should I look for {s}?", "which place is {s} at?", "where did {s} go?",
        "where is {s} now?", "where could I meet {s}?", "in what place did you see {s}?", "where does {s} stay?", "I need {s}, where should I go?", "what is the right place to look for {s}?",
    ),
    read=(
        "where would I find {s}?", "have you seen {s}?", "where might {s} be?", "any idea where {s} is?", "in what spot is {s}?", "I want to talk to {s}, where do I go?", "please find {s} for me.",
        "where does {s} sit?", "tell me where to look for {s}.", "who knows where {s} is?",
        "do you remember where {s} is?", "has anyone seen {s}?", "{s} is missing, where is that person?", "help me find {s}.", "where can {s} be found?", "let me know where {s} is.", "I cannot find {s}.", "where is {s} at the moment?",
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
        *_is_there("{s}", ("adores", "wants", "fancies", "favours", "insists on", "always takes", "still prefers", "asks for"), "the {k} {v}."),
        "the favourite {k} of {s} is {v}.", "{s} thinks that the best {k} is {v}.", "ask {s} for a {k} and you will hear {v}.", "when it comes to a {k}, {s} likes {v}.", "I know that {s} likes the {k} {v}.", "{s} has one favourite {k}: {v}.",
        "{s} would choose {v} as a {k}.", "{s}? the best {k} is {v}.", "among all of them, {s} finds the {k} {v} best.", "my friend {s} likes the {k} {v} most.",
    ),
    told_held_out=("no {k} pleases {s} more than {v}.", "{s} has a weakness for the {k} {v}.", "the {k} for {s} is {v}, no doubt."),
    written=(
        "what is {s}'s favourite {k}?", "which {k} does {s} like best?", "what {k} does {s} prefer?", "tell me {s}'s favourite {k}.", "do you know the favourite {k} of {s}?", "which {k} is {s}'s favourite?",
        "what is the favourite {k} of {s}?", "which {k} does {s} enjoy most?", "{s}'s favourite {k}: what is it?", "for {s}, which {k} is best?", "can you tell me {s}'s favourite {k}?", "what {k} would {s} choose?",
        "which {k} does {s} love?", "what is the {k} that {s} likes best?",
        "which {k} does {s} favour?", "what does {s} like best as a {k}?", "which {k} is best in the eyes of {s}?", "what is {s}'s best {k}?", "{s} likes one {k} best, which one?", "which {k} would {s} take?",
    ),
    read=(
        "I want to please {s}, which {k} should I get?", "any idea which {k} {s} likes?", "what {k} does {s} pick?", "if {s} could choose a {k}, what would it be?", "name {s}'s favourite {k}.",
        "which {k} does {s} want?", "which {k} pleases {s} most?", "who knows {s}'s favourite {k}?", "what would {s} call the best {k}?", "what sort of {k} does {s} like?",
        "do you remember {s}'s favourite {k}?", "let me know {s}'s favourite {k}.", "what does {s} like as a {k}?", "which {k} should we give {s}?", "what {k} is best for {s}?", "what {k} does {s} love most?", "what is the best {k} for {s}?",
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
        *_by_somebody(("lent", "passed", "gave", "brought", "sold", "offered", "returned"), "{s} to {v}."),
        "{s} is now with its owner, {v}.", "{s} came to {v} as a gift.", "{s} was left to {v}.", "{s} has to go back to {v}.", "{s} is for {v}.", "the person who owns {s} is {v}.", "as for {s}, it belongs to {v}.", "{s}? it is owned by {v}.",
        "I am sure that {s} belongs to {v}.", "{s} went to {v}.", "I hear that {s} is owned by {v}.", "{s} has one owner, and that is {v}.",
    ),
    told_held_out=("{s} was inherited by {v}.", "{s} is {v}'s, as I heard.", "{n} handed {s} over to {v} for good."),
    written=(
        "who owns {s}?", "whose is {s}?", "who is the owner of {s}?", "to whom does {s} belong?", "who does {s} belong to?", "do you know who owns {s}?", "tell me who owns {s}.", "{s}: who owns it?", "which person owns {s}?",
        "can you tell me whose {s} is?", "who has {s} as property?", "by whom is {s} owned?", "what is the name of the owner of {s}?", "I found {s}, who does it belong to?",
        "whose thing is {s}?", "to which person does {s} belong?", "who is known as the owner of {s}?", "does {s} belong to someone, and to whom?", "what person does {s} belong to?", "{s} belongs to whom?",
    ),
    read=(
        "any idea who owns {s}?", "who might own {s}?", "name the owner of {s}.", "I have {s} here, to whom should I return it?", "who knows whose {s} is?", "is there an owner of {s}, and who?", "who can claim {s}?",
        "whom should I ask for {s}?", "tell me whose {s} is.", "who would be the owner of {s}?",
        "do you remember who owns {s}?", "let me know who owns {s}.", "{s} must belong to someone, but who?", "who is it that owns {s}?", "who calls {s} their own?", "tell me the owner of {s}.", "who lost {s}?",
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
    ("who are you?", "I am a small model of a house"), ("what can you do?", "I remember things about the house"), ("good evening.", "good evening"), ("hey.", "hello"), ("hello there.", "hello"),
    ("thank you very much.", "you are welcome"), ("many thanks.", "you are welcome"), ("see you.", "goodbye"), ("bye.", "goodbye"), ("good night.", "good night"), ("what is your name?", "I am a small model of a house"),
    ("are you there?", "I am here"), ("can you help me?", "ask me where things are"), ("what should I ask?", "ask me where things are"), ("that is right.", "good"), ("well done.", "thank you"),
)
ACKNOWLEDGED: Final = "I see,"
NOT_UNDERSTOOD: Final = "I do not understand"
BEYOND: Final = (
    "what is the capital of France?", "how much is two and two?", "sing a song.", "tell me a joke.", "what time is it?", "will it rain tomorrow?", "who won the match?", "translate this into French.",
    "why is the sky blue?", "write a poem.", "what does the word mean?", "how do I cook rice?", "open the window.", "call me later.", "how old is the king?", "what is the meaning of life?",
    "count to ten.", "how far is the moon?", "when does the train leave?", "spell your name backwards.", "play some music.", "what is the price of gold?", "who wrote this book?", "switch on the light.",
)
