"""Words that facts turn on: who and what people tell about. Data only."""

from __future__ import annotations

PETS = frozenset([
    "dog", "cat", "pet", "puppy", "kitten", "hamster", "rabbit", "bunny", "parrot", "budgie", "horse", "pony",
    "turtle", "tortoise", "fish", "goldfish", "snake", "lizard", "gecko", "ferret", "bird", "guinea-pig", "rat",
    "mouse", "chicken", "donkey", "goat", "pig",
])  # fmt: skip
PEOPLE = frozenset([
    "mother", "mom", "mum", "father", "dad", "sister", "brother", "wife", "husband", "partner", "girlfriend",
    "boyfriend", "fiance", "fiancee", "son", "daughter", "baby", "child", "kid", "grandmother", "grandma",
    "grandfather", "grandpa", "aunt", "uncle", "cousin", "niece", "nephew", "friend", "boss", "manager",
    "colleague", "coworker", "roommate", "flatmate", "neighbour", "neighbor", "teacher", "coach", "doctor",
    "dentist", "therapist", "twin", "stepmother", "stepfather", "stepson", "stepdaughter", "godmother",
    "godfather", "landlord",
])  # fmt: skip
NAMEABLE = PETS | PEOPLE | frozenset([
    "boat", "car", "band", "team", "company", "school", "university", "street", "town", "village", "husky",
])  # fmt: skip
# A newer value of these takes the older one's place.
ONE_VALUED = frozenset([
    "name", "age", "birthday", "home", "origin", "job", "breed", "height", "weight", "size", "employer",
    "timezone", "phone", "email", "address",
])  # fmt: skip
