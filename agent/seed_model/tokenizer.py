"""The embedded model's tokenizer: lower-cased byte-level BPE, trained on the recipe's own text.

Knows: vocabulary size, special tokens, the chat template. Refuses to know: models.

A small vocabulary is deliberate: nouns and made-up names fall into shared pieces, so words that training never saw are
read like any other. Every byte is in the alphabet, so any text can be encoded.
"""

import random
from collections.abc import Iterator
from typing import Final

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from agent.seed_model.documents import draw_document

VOCABULARY_SIZE: Final = 1024
PAD, BOS, EOS, NOTE, USER, AGENT = "<pad>", "<bos>", "<eos>", "<note>", "<user>", "<agent>"
SPECIAL_TOKENS: Final = (PAD, BOS, EOS, NOTE, USER, AGENT)

CHAT_TEMPLATE: Final = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'system' %}{% for line in message.content.split('\\n') %}{% if line.strip() %}<note>{{ "
    "line.strip() }}{% endif %}{% endfor %}"
    "{% elif message.role == 'user' %}<user>{{ message.content.strip() }}"
    "{% else %}<agent>{{ message.content.strip() }}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<agent>{% endif %}"
)


def _texts(num_documents: int, seed: int) -> Iterator[str]:
    rng = random.Random(seed)
    for _ in range(num_documents):
        document = draw_document(rng, progress=rng.choice((0.1, 1.0)))
        yield from document.notes
        for exchange in document.exchanges:
            yield exchange.user
            yield " ".join(text for text, _ in exchange.pieces)


def train_tokenizer(*, num_documents: int = 6000, seed: int = 0) -> PreTrainedTokenizerFast:
    """Train the tokenizer on text that the recipe's generator writes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(num_documents, seed), trainer)
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        additional_special_tokens=[NOTE, USER, AGENT],
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast
