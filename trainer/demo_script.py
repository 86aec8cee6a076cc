"""What the demo tells and asks: the paper's conversation, and questions written by hand that no training ever saw.

Each question of `ASKED_AGAIN` has the phrases of which a right reply holds one; those of `NEVER_TOLD` are to be
answered by saying so. tests/trainer/test_demo.py holds both against the training questions.
"""

from __future__ import annotations

BUDDY, BREED, AGE, BIRTHDAY = (
    ("Buddy",),
    ("Golden Retriever",),
    ("25", "twenty-five"),
    ("March 15", "15th of March", "March 15th"),
)

TOLD = (
    "/remember my dog is Buddy",
    "a Golden Retriever",  # the answer to the bot's question
    "/remember I am 25 years old",
    "March 15",
)
ASKED_AT_ONCE = (
    ("What's my dog's name?", BUDDY),
    ("How old am I?", AGE),
    ("When is my birthday?", BIRTHDAY),
)
ASKED_AGAIN = (
    ("whats my dogs name lol", BUDDY),
    ("Hey, what's my dog's name?", BUDDY),
    ("I forgot, what did I say my dog is called?", BUDDY),
    ("So what is my dog named?", BUDDY),
    ("I have a dog. What's his name?", BUDDY),
    ("Which name did I give my dog?", BUDDY),
    ("tell me my dogs name pls", BUDDY),
    ("Is my dog's name Rex?", BUDDY),
    ("whats the breed of my dog", BREED),
    ("What breed of dog do I have?", BREED),
    ("My dog, which breed was that again?", BREED),
    ("Please tell me what breed my dog is.", BREED),
    ("Is my dog some kind of Poodle?", BREED),
    ("so how old am i again", AGE),
    ("Help me out here: what's my age?", AGE),
    ("Do you happen to know how old I am?", AGE),
    ("my age in a word pls", AGE),
    ("Is 30 my age?", AGE),
    ("hey whens my birthday", BIRTHDAY),
    ("What's the date of my birthday?", BIRTHDAY),
    ("On what day was I born?", BIRTHDAY),
    ("Which day do I celebrate my birthday on?", BIRTHDAY),
    ("I forgot when my birthday is, can you help?", BIRTHDAY),
    ("Is my birthday on June 2?", BIRTHDAY),
)
NEVER_TOLD = (
    "do u know the name of my cat",
    "Do you happen to know my mother's name?",
    "Which city do I live in these days?",
    "What is it that I do for a living?",
    "whats my favourite food again",
)
GENERAL = (
    ("What is the capital of France?", ("Paris",)),
    ("What is the capital of Japan?", ("Tokyo",)),
    ("Which planet is known as the Red Planet?", ("Mars",)),
    ("What is the largest ocean on Earth?", ("Pacific",)),
    ("Who wrote Romeo and Juliet?", ("Shakespeare",)),
    ("How many days are there in a week?", ("7", "seven")),
    ("How many legs does a spider have?", ("8", "eight")),
    ("What is the opposite of hot?", ("cold", "cool")),
    ("What is frozen water called?", ("ice",)),
    ("What color do you get by mixing blue and yellow?", ("green",)),
    ("What is the main language of Brazil?", ("Portuguese",)),
    ("Which animal is known as man's best friend?", ("dog", "dogs")),
    ("What is 5 + 3?", ("8", "eight")),
    ("Write a Python function that reverses a string.", ("def",)),
)
