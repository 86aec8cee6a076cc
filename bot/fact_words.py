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
# Words that say what somebody does for a living, alone or as the last of a few ("a maths teacher").
OCCUPATIONS = frozenset([
    "accountant", "actor", "actress", "admin", "agent", "analyst", "animator", "architect", "artist", "assistant", "astronaut",
    "attorney", "author", "baker", "banker", "barber", "barista", "bartender", "beekeeper", "biologist", "blacksmith",
    "bookkeeper", "botanist", "bricklayer", "broker", "builder", "butcher", "caregiver", "caretaker", "carpenter", "cashier",
    "chef", "chemist", "cleaner", "clerk", "coder", "composer", "consultant", "contractor", "cook", "counselor", "curator",
    "dancer", "dealer", "dentist", "designer", "detective", "developer", "dietitian", "director", "doctor", "driver",
    "economist", "editor", "electrician", "engineer", "entrepreneur", "farmer", "filmmaker", "firefighter", "fisherman",
    "florist", "freelancer", "gardener", "geologist", "glassblower", "goldsmith", "guard", "hairdresser", "historian",
    "housekeeper", "illustrator", "inspector", "instructor", "interpreter", "janitor", "jeweler", "journalist", "judge",
    "lawyer", "lecturer", "librarian", "locksmith", "machinist", "magician", "maid", "manager", "mason", "mathematician",
    "mechanic", "midwife", "miner", "model", "musician", "nanny", "novelist", "nurse", "nutritionist", "optician", "painter",
    "paralegal", "paramedic", "pharmacist", "photographer", "physicist", "physiotherapist", "pilot", "plumber", "poet",
    "policeman", "politician", "postman", "potter", "priest", "producer", "professor", "programmer", "psychiatrist",
    "psychologist", "realtor", "receptionist", "reporter", "researcher", "roofer", "sailor", "salesman", "salesperson",
    "scientist", "sculptor", "secretary", "shoemaker", "shopkeeper", "singer", "soldier", "statistician", "stylist",
    "surgeon", "surveyor", "tailor", "teacher", "technician", "tester", "therapist", "trader", "trainer", "translator",
    "truck-driver", "trucker", "tutor", "undertaker", "vet", "veterinarian", "waiter", "waitress", "watchmaker", "welder",
    "writer", "zoologist",
])  # fmt: skip
