"""Finding what looks like personal data or a secret in a text, and putting a word in its place.

Knows patterns and check digits. Refuses to know experiences. Where it cannot be sure it takes too much rather than too
little: a number lost is a smaller harm than one learned. All repetitions are bounded, so that no text takes long.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Final

from memory_log.fields import MAX_NAME_BYTES

_SECRET: Final = re.compile(
    r"""
    -----BEGIN[ ][A-Z ]{0,40}PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]{0,40}PRIVATE[ ]KEY-----|\Z)
    | \beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]{5,}                                                # JSON web token
    | \b(?:sk|pk|rk)[-_][\w-]{16,} | \bgh[a-z]_\w{20,} | \bgithub_pat_\w{20,} | \bglpat-[\w-]{16,}
    | \bxox[a-z]-[\w-]{10,} | \bhf_\w{20,} | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b | \bAIza[\w-]{30,}
    | (?<=://)[^\s/@:]{1,128}:[^\s/@]{1,128}(?=@)                                         # name:password@host
    | (?<=[Bb]earer[ ])[\w.~+/=-]{12,}
    | (?<![\w/+-])(?=[\w/+-]{0,200}\d)(?=[\w/+-]{0,200}[a-z])(?=[\w/+-]{0,200}[A-Z])[\w/+-]{24,}={0,2}
    | \b(?=[0-9a-f]{0,31}\d)[0-9a-f]{32,}\b
    """,
    re.VERBOSE | re.DOTALL,
)
_NAMED_SECRET: Final = re.compile(
    r"(\b(?:api[ _-]?key|access[ _-]?key|auth[ _-]?token|token|secret|password|passwd|pwd)[\"']?\s?[:=]\s{0,3})"
    r"(?!\[secret\])\S{1,512}",
    re.IGNORECASE,
)
_EMAIL: Final = re.compile(
    r"[^\s@<>()\[\],;:\"]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{0,61}[^\W_]", re.IGNORECASE
)
_IBAN: Final = re.compile(r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}\b", re.IGNORECASE)
_CARD: Final = re.compile(r"(?<!\w)\d(?:[ -]?\d){12,}(?!\w)")
_IPV4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)")
_IPV6: Final = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f.]{0,4}:)[0-9A-Fa-f:.]{3,45}(?![\w:])")
_PHONE: Final = re.compile(
    r"""
    (?<![\w.,:/+-])
    (?! \d{1,2}[./-]\d{1,2}[./-]\d{2,4}(?!\d) )                  # a date
    (?: (?:\+|00)[ ]?[1-9](?:[ ./()-]{0,3}\d){6,14}              # +49 30 123456
      | \(?0[1-9](?:[ ./()-]{0,3}\d){5,11}                       # 030/123456
      | (?:1[ .-])?\(?[2-9]\d{2}\)?[ .-]{0,2}\d{3}[ .-]\d{4}     # (555) 123-4567
      | [2-9]\d{2}-\d{4}                                         # 555-1234
      | \d{10,15} )
    (?:[ ./()-]{1,2}\d{3,}){0,8}                                 # what follows may be the rest of it, or another one
    (?!\w)
    """,
    re.VERBOSE,
)
_LETTER_A: Final = 55  # "A" stands for 10 in an IBAN's check


def redacted(text: str) -> str:
    """The text with a word in brackets in place of e-mail addresses, phone and card numbers, IBANs, IPs and secrets."""
    text = _SECRET.sub("[secret]", text)
    text = _NAMED_SECRET.sub(r"\1[secret]", text)
    text = _EMAIL.sub("[e-mail]", text)
    text = _IBAN.sub(_checked(_without_iban), text)
    text = _CARD.sub(_checked(lambda found: "[card]" if any(map(_passes_luhn, _windows(found))) else found), text)
    text = _IPV4.sub(_checked(_without_ip), text)
    text = _IPV6.sub(_checked(_without_ip), text)
    return _PHONE.sub("[phone]", text)


def redacted_name(name: str) -> str:
    """The same for a name of a fact, cut where the words have made it too long for one."""
    return redacted(name).encode()[:MAX_NAME_BYTES].decode(errors="ignore")


def _checked(replace: Callable[[str], str]) -> Callable[[re.Match[str]], str]:
    return lambda match: replace(match.group())


def _without_iban(found: str) -> str:
    # The pattern may have taken following words along: the longest beginning that ends a word and passes the check.
    ends = [end for end in range(len(found), 14, -1) if end == len(found) or not found[end].isalnum()]
    valid = next((end for end in ends if _passes_mod_97(found[:end])), None)
    return found if valid is None else f"[IBAN]{found[valid:]}"


def _passes_mod_97(text: str) -> bool:
    """Whether the letters and digits are an IBAN (ISO 13616): moved round and read as one number, 1 modulo 97."""
    letters = [letter for letter in text.upper() if letter.isalnum()]
    moved = letters[4:] + letters[:4]
    return int("".join(str(ord(one) - _LETTER_A) if one.isalpha() else one for one in moved)) % 97 == 1


def _windows(found: str) -> Iterator[str]:
    """The runs of whole groups of digits that are as long as a card number; `4111 1111 1111 1111 123` holds one."""
    groups = re.split("[ -]", found)
    for first in range(len(groups)):
        digits = ""
        for group in groups[first : first + 19]:
            digits += group
            if 13 <= len(digits) <= 19:
                yield digits


def _passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812: every second digit from the right doubled, cross sums added, a multiple of ten."""
    doubled = [int(digit) * (1 + index % 2) for index, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def _without_ip(found: str) -> str:
    for end in (len(found), len(found.rstrip(".")), len(found.rstrip(".:"))):
        try:
            ipaddress.ip_address(found[:end])
        except ValueError:
            continue
        return f"[IP]{found[end:]}"
    return found
