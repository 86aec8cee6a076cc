"""Everyday statements that a pattern takes apart: "my dog is Buddy" → subject "dog", attribute "name", value "Buddy".

Not covered: what a text's statements are (`facts.py`), and the sentences that fit no pattern, which are kept as said.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from bot.fact_words import NAMEABLE, OCCUPATIONS, PEOPLE, PETS
from bot.language import parse

MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)"
)
_AGE = (
    r"\d{1,3}|(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[- ](?:one|two|three|four|five|six|seven|eight|nine))?|"
    r"two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
)
_A_DATE = re.compile(rf"\d|\b{MONTH}\b|\b(?:christmas|easter|halloween|new year)", re.IGNORECASE)
_NO_PLACE = re.compile(r"(?:an?|my|our|this|that|these|one|home|here|there)\b", re.IGNORECASE)
_NO_EMPLOYER = re.compile(r"(?:home|nights?|days?|weekends?|free|fun|least|most|the moment|money)\b", re.IGNORECASE)
_FOLLOWED = r"(?: (?:as|in|at|with|for|since|because|until) .+)?"  # what goes on after a value
_NAME = r"(?P<value>[\w'.&-]+(?: [A-Z][\w'.&-]*){0,3})"
_OWNER = r"(?:my|our) (?P<subject>[\w-]+(?: [\w-]+){0,2}?)"
_PATTERNS = tuple(
    (re.compile(rf"^{pattern}[.!]*$", re.IGNORECASE), subject, attribute)
    for pattern, subject, attribute in (
        (rf"my (?:first |full |real )?name(?: is|'s) {_NAME}", "", "name"),
        (rf"(?:people |my friends |they |you can |everyone |please )?calls? me {_NAME}", "", "nickname"),
        (rf"(?:my age is(?: only)?|i(?: am|'m)(?: now| just| already| only)?|i (?:just )?turned) (?P<value>{_AGE})(?: years?(?: old)?)?(?: now| today)?", "", "age"),
        (r"(?:my birthday(?: is|'s)|i was born)(?: on| in)? (?P<value>.+)", "", "birthday"),
        (rf"i (?:currently |now )?(?:live|am living|reside)(?: now| currently)? (?:in|at|on|near) (?P<value>.+?)(?: now| currently)?{_FOLLOWED}", "", "home"),
        (r"i(?: just| recently)? moved to (?P<value>.+)", "", "home"),
        (r"i(?: am|'m| come)(?: originally)? from (?P<value>.+)", "", "origin"),
        (rf"(?:i (?:currently |now )?work as|my job is(?: being)?|my profession is) (?P<value>.+?){_FOLLOWED}", "", "job"),
        (rf"i(?: am|'m)(?: now| currently)? (?P<value>(?:an? )?(?:[\w-]+ ){{0,2}}?(?:{'|'.join(sorted(OCCUPATIONS))}))(?: now| right now| by profession)?{_FOLLOWED}", "", "job"),
        (rf"i(?: currently| now)? work (?:at|for) (?P<value>[^,.]+?){_FOLLOWED}", "", "employer"),
        (r"i(?: am|'m) (?P<value>allergic to .+)", "", "allergy"),
        (r"(?:my|our) (?P<subject>[\w-]+(?: [\w-]+){0,2}?)'s (?P<attribute>[\w-]+(?: [\w-]+)?) is (?:called |named )?(?P<value>.+)", None, None),
        (rf"{_OWNER}(?: is|'s)(?: named| called) {_NAME}", None, "name"),
        (rf"{_OWNER} goes by {_NAME}", None, "name"),
        (rf"(?:i|we)(?: have|'ve got| own|'ve| got)(?: an?)? (?P<subject>[\w-]+(?: [\w-]+)??),?(?: (?:who|that) is| whose name is|,)?(?: named| called)? {_NAME}", None, "named"),
        (r"my (?P<attribute>fav(?:ou?rite)? [\w' -]+?) (?:is|are) (?P<value>.+)", "", None),
        (r"(?P<value>.+?) (?:is|are) my (?P<attribute>fav(?:ou?rite)? [\w'-]+(?: [\w'-]+)?)", "", None),
        (rf"{_OWNER} (?:is|was) born (?:on|in) (?P<value>.+)", None, "birthday"),
        (rf"{_OWNER} (?:is|'s|turned)(?: now)? (?P<value>\d{{1,3}})(?: years? old)?(?: now| today)?", None, "age"),
        (rf"{_OWNER} (?:lives|is living|is based) (?:in|at|near) (?P<value>.+)", None, "home"),
        (rf"{_OWNER} works as (?P<value>.+)", None, "job"),
        (rf"{_OWNER}(?: is|'s) (?P<value>.+)", None, "is"),
        (r"(?P<subject>[A-Z]\w+) is (?P<value>an? .+)", None, "is"),
    )
)  # fmt: skip


def read_off(sentence: str) -> tuple[str, str, str] | None:
    """Subject, attribute and value of a sentence without lead-in; None where no pattern fits."""
    told = _OWNERS_NAME.sub(_with_apostrophe, sentence)
    for pattern, subject, attribute in _PATTERNS:
        match = pattern.match(told)
        if not match:
            continue
        groups = match.groupdict()
        about = (groups.get("subject") or subject or "").lower()
        what = (
            (groups.get("attribute") or attribute or "")
            .lower()
            .replace("favourite", "favorite")
            .replace("fav ", "favorite ")
        )
        what = what.replace("colour", "color")
        value = (groups.get("value") or "").strip(" .!,\"'")
        if what in ("named", "is"):
            if what == "named" and not value[:1].isupper() and not re.search(r"\b(?:named|called|name is)\b|,", told):
                continue
            if _is_name_of(about, value, told):
                return about, "name", value
            if what == "named" or len(value.split()) > 6:
                continue
            return about, "is", value
        if (
            (what in _IMPOSSIBLE and _IMPOSSIBLE[what](value))
            or (what == "name" and len(about.split()) > 2)
            or (what == "age" and about and about.split()[-1] not in PETS | PEOPLE)
        ):
            continue
        return about, what, value
    return None


_OWNERS_NAME = re.compile(r"^((?:my|our) )(\w+)s (name is )", re.IGNORECASE)
_UNEMPLOYED = re.compile(
    r"\b(?:retired|former|ex|recovering|aspiring|future|amateur|good|great|bad|terrible|self)\b", re.IGNORECASE
)
_IMPOSSIBLE: dict[str, Callable[[str], object]] = {  # values that an attribute cannot have
    "birthday": lambda value: not _A_DATE.search(value),
    "home": _NO_PLACE.match,
    "employer": _NO_EMPLOYER.match,
    "job": _UNEMPLOYED.search,
}


def _with_apostrophe(match: re.Match[str]) -> str:
    """ "my dogs name is Rex": one dog, typed without its apostrophe."""
    return f"{match[1]}{match[2]}'s {match[3]}" if match[2].lower() in NAMEABLE else match[0]


def _is_name_of(subject: str, value: str, told: str) -> bool:
    """ "Buddy" names a dog, "sick" and "a beagle" do not."""
    head = subject.split()[-1] if subject else ""
    words = value.split()
    if head not in NAMEABLE or not words or len(words) > 3 or words[0].lower() in {"a", "an", "the", "my", "in", "at", "from", "not", "very", "so"}:  # fmt: skip
        return False
    if any(mark in told for mark in (" named ", " called ")):
        return True
    if words[-1].lower() in OCCUPATIONS:
        return False
    if all(word[:1].isupper() for word in words):
        return True
    return (
        len(words) == 1
        and value.isalpha()
        and parse(told)[-1 if told[-1].isalnum() else -2].pos_ in ("PROPN", "NOUN", "X")
    )
