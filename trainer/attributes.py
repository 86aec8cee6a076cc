"""Hand-written questions for the attributes people tell most: names, ages, birthdays, homes, jobs, favourites, …

Data only. `{s}` is the subject ("dog"), `{v}` the value, `{a}` the attribute. Families as in `phrasings.py`.
"""

from __future__ import annotations

OF_THING: dict[str, dict[str, tuple[str, ...]]] = {
    "name": {
        "direct": (
            "What's my {s}'s name?", "What is my {s}'s name?", "What is my {s} called?", "What did I name my {s}?",
            "What's the name of my {s}?", "What do I call my {s}?", "Which name does my {s} have?", "What was my {s}'s name again?",
        ),
        "indirect": (
            "Do you know my {s}'s name?", "Can you tell me my {s}'s name?", "Do you remember what my {s} is called?",
            "I forgot, what is my {s} called?", "Could you remind me of my {s}'s name?",
        ),
        "imperative": ("Tell me my {s}'s name.", "Remind me what my {s} is called.", "Say my {s}'s name.", "Name my {s}."),
        "fragment": ("My {s}'s name?", "Name of my {s}?", "My {s}?", "{s} name"),
        "reverse": ("Who is {v}?", "{v}?", "Who's {v}?", "Who is {v} to me?", "Does the name {v} mean anything to you?"),
        "about": ("Tell me about {v}.", "What do you know about {v}?", "What do you know about my {s}?", "Do I have a {s}?"),
        "yes": ("Is my {s} called {v}?", "Is my {s}'s name {v}?", "Is {v} my {s}?", "My {s} is {v}, right?"),
        "no": ("Is my {s} called {w}?", "Is my {s}'s name {w}?", "My {s} is {w}, right?", "Did I name my {s} {w}?"),
    },
    "breed": {
        "direct": (
            "What breed is my {s}?", "What kind of {s} do I have?", "What type of {s} is mine?", "Which breed is my {s}?",
            "What's my {s}'s breed?", "What sort of {s} do I own?",
        ),
        "indirect": ("Do you know what breed my {s} is?", "Can you tell me my {s}'s breed?", "Do you remember my {s}'s breed?"),
        "imperative": ("Tell me my {s}'s breed.", "Remind me what breed my {s} is."),
        "fragment": ("Breed of my {s}?", "My {s}'s breed?", "{s} breed"),
        "reverse": ("Who is the {v}?", "Which of my pets is a {v}?", "Do I have a {v}?"),
        "yes": ("Is my {s} a {v}?", "My {s} is a {v}, right?"),
        "no": ("Is my {s} a {w}?", "My {s} is a {w}, right?"),
    },
    "age": {
        "direct": ("How old is my {s}?", "What's my {s}'s age?", "What age is my {s}?", "How many years old is my {s}?"),
        "indirect": ("Do you know how old my {s} is?", "Can you tell me my {s}'s age?", "Do you remember my {s}'s age?"),
        "imperative": ("Tell me how old my {s} is.", "Remind me of my {s}'s age."),
        "fragment": ("My {s}'s age?", "Age of my {s}?", "{s} age"),
        "yes": ("Is my {s} {v}?", "Is my {s} {v} years old?"),
        "no": ("Is my {s} {w}?", "Is my {s} {w} years old?"),
    },
    "home": {
        "direct": ("Where does my {s} live?", "Which place does my {s} live in?", "Where is my {s} based?", "Where's my {s}'s home?"),
        "indirect": ("Do you know where my {s} lives?", "Can you tell me where my {s} lives?", "Where would I find my {s}?"),
        "imperative": ("Tell me where my {s} lives.", "Remind me where my {s} lives."),
        "fragment": ("My {s}'s home?", "{s} lives where"),
        "reverse": ("Who lives in {v}?", "Who do I know in {v}?"),
        "yes": ("Does my {s} live in {v}?",),
        "no": ("Does my {s} live in {w}?",),
    },
    "job": {
        "direct": ("What does my {s} do for a living?", "What's my {s}'s job?", "What does my {s} work as?"),
        "indirect": ("Do you know what my {s} does for work?", "Can you tell me my {s}'s job?"),
        "imperative": ("Tell me what my {s} does for a living.", "Remind me of my {s}'s job."),
        "fragment": ("My {s}'s job?",),
        "yes": ("Does my {s} work as {v}?",),
    },
    "": {
        "direct": ("What's my {s}'s {a}?", "What is my {s}'s {a}?", "What is the {a} of my {s}?", "Which {a} does my {s} have?"),
        "indirect": ("Do you know my {s}'s {a}?", "Can you tell me my {s}'s {a}?", "Do you remember my {s}'s {a}?"),
        "imperative": ("Tell me my {s}'s {a}.", "Remind me of my {s}'s {a}."),
        "fragment": ("My {s}'s {a}?", "{a} of my {s}?", "{s} {a}"),
        "about": ("What do you know about my {s}'s {a}?",),
        "yes": ("Is my {s}'s {a} {v}?", "My {s}'s {a} is {v}, right?"),
        "no": ("Is my {s}'s {a} {w}?", "My {s}'s {a} is {w}, right?"),
    },
}  # fmt: skip

OF_USER: dict[str, dict[str, tuple[str, ...]]] = {
    "name": {
        "direct": ("What's my name?", "What is my name?", "Who am I?", "What am I called?", "What do people call me?"),
        "indirect": ("Do you know my name?", "Do you know who I am?", "Can you tell me my name?", "Do you remember my name?"),
        "imperative": ("Say my name.", "Tell me my name.", "Remind me what I'm called."),
        "fragment": ("My name?", "name?"),
        "reverse": ("Who is {v}?", "{v}?"),
        "yes": ("Is my name {v}?", "Am I {v}?"),
        "no": ("Is my name {w}?", "Am I called {w}?"),
    },
    "age": {
        "direct": (
            "How old am I?", "What's my age?", "What is my age?", "What age am I?", "How many years old am I?", "How old am I now?",
            "How many years have I lived?",
        ),
        "indirect": (
            "Do you know how old I am?", "Can you tell me my age?", "Do you remember my age?", "Could you remind me how old I am?",
            "I forgot how old I am, can you help?",
        ),
        "imperative": ("Tell me how old I am.", "Remind me of my age.", "Tell me my age.", "State my age."),
        "fragment": ("My age?", "age?", "Age of me?", "how old"),
        "about": ("What do you know about my age?",),
        "yes": ("Am I {v}?", "Am I {v} years old?", "I'm {v}, right?"),
        "no": ("Am I {w}?", "Am I {w} years old?", "I'm {w}, right?"),
    },
    "birthday": {
        "direct": (
            "When is my birthday?", "When's my birthday?", "What day is my birthday?", "What date is my birthday?", "When was I born?",
            "When do I celebrate my birthday?", "On which date is my birthday?", "When do I turn a year older?",
        ),
        "indirect": (
            "Do you know when my birthday is?", "Can you tell me my birthday?", "Do you remember my birthday?",
            "Could you remind me when my birthday is?", "When should people wish me a happy birthday?",
        ),
        "imperative": ("Tell me my birthday.", "Remind me when my birthday is.", "Tell me the date of my birthday.", "Name my birth date."),
        "fragment": ("My birthday?", "birthday?", "bday?", "Date of birth?", "my bday"),
        "reverse": ("What happens on {v}?", "What is special about {v}?", "{v}?"),
        "about": ("What do you know about my birthday?",),
        "yes": ("Is my birthday on {v}?", "Is my birthday {v}?", "My birthday is {v}, right?"),
        "no": ("Is my birthday on {w}?", "Is my birthday {w}?", "My birthday is {w}, right?"),
    },
    "home": {
        "direct": (
            "Where do I live?", "What city do I live in?", "Where's my home?", "Where am I based?", "Which place do I live in?",
            "What's my home town?", "Where do I currently live?", "Where do I reside?",
        ),
        "indirect": ("Do you know where I live?", "Can you tell me where I live?", "Do you remember where I live?"),
        "imperative": ("Tell me where I live.", "Remind me where I live.", "Name the place I live in."),
        "fragment": ("My home?", "My city?", "where do i live again"),
        "reverse": ("What connects me with {v}?",),
        "yes": ("Do I live in {v}?", "I live in {v}, right?"),
        "no": ("Do I live in {w}?", "I live in {w}, right?"),
    },
    "job": {
        "direct": (
            "What do I do for a living?", "What's my job?", "What do I work as?", "What is my profession?", "What's my occupation?",
            "How do I earn my money?", "What kind of work do I do?", "What line of work am I in?",
        ),
        "indirect": ("Do you know what I do for work?", "Can you tell me my job?", "Do you remember my profession?"),
        "imperative": ("Tell me what my job is.", "Remind me what I do for a living.", "Name my profession."),
        "fragment": ("My job?", "My profession?", "my occupation"),
        "yes": ("Do I work as {v}?", "Do I earn my living as {v}?"),
        "no": ("Do I work as {w}?", "Do I earn my living as {w}?"),
    },
    "employer": {
        "direct": ("Where do I work?", "Who do I work for?", "Which company do I work for?", "What's my workplace?", "Who is my employer?"),
        "indirect": ("Do you know where I work?", "Can you tell me who I work for?", "Do you remember my employer?"),
        "imperative": ("Tell me where I work.", "Remind me who I work for.", "Name my employer."),
        "fragment": ("My workplace?", "My employer?", "my company"),
        "yes": ("Do I work at {v}?", "Do I work for {v}?"),
        "no": ("Do I work at {w}?",),
    },
    "origin": {
        "direct": ("Where am I from?", "Where do I come from?", "What place am I from?", "Where's my family home?", "Where am I originally from?"),
        "indirect": ("Do you know where I'm from?", "Can you tell me where I come from?"),
        "imperative": ("Tell me where I'm from.", "Remind me where I come from."),
        "fragment": ("My origin?", "where from"),
        "yes": ("Am I from {v}?", "Do I come from {v}?"),
        "no": ("Am I from {w}?",),
    },
    "allergy": {
        "direct": ("What am I allergic to?", "Which allergies do I have?", "What allergy do I have?", "What can't I have because of my allergy?"),
        "indirect": ("Do I have any allergies?", "Do you know what I'm allergic to?", "Can you tell me my allergies?"),
        "imperative": ("Tell me my allergies.", "Remind me what I'm allergic to.", "List my allergies."),
        "fragment": ("My allergies?", "allergies?", "my allergy"),
        "yes": ("Am I {v}?", "Is it true that I am {v}?"),
    },
    "": {
        "direct": ("What's my {a}?", "What is my {a}?", "Which {a} is mine?", "What was my {a} again?"),
        "indirect": ("Do you know my {a}?", "Can you tell me my {a}?", "Do you remember my {a}?", "Could you remind me of my {a}?"),
        "imperative": ("Tell me my {a}.", "Remind me what my {a} is.", "Name my {a}."),
        "fragment": ("My {a}?", "{a}?", "my {a}"),
        "reverse": ("What is {v} to me?",),
        "yes": ("Is my {a} {v}?", "My {a} is {v}, right?"),
        "no": ("Is my {a} {w}?", "My {a} is {w}, right?"),
    },
}  # fmt: skip

FAVORITE = {
    "direct": ("What {k} do I like best?", "Which {k} do I like most?", "What {k} do I prefer?", "Which {k} is my favorite?"),
    "indirect": ("Do you know which {k} I like best?",),
}  # joined to OF_USER[""] where the attribute is "favorite {k}"

OTHER_NAMES = (
    "Max", "Luna", "Rocky", "Bella", "Charlie", "Milo", "Daisy", "Oscar", "Ruby", "Leo", "Nina", "Felix", "Maya", "Jonas",
    "Ella", "Hugo", "Clara", "Ivan", "Rosa", "Omar",
)  # fmt: skip
OTHER_PLACES = ("Lisbon", "Toronto", "Nairobi", "Seoul", "Prague", "Denver", "Lima", "Cork", "Osaka", "Perth", "Lyon", "Austin")
OTHER_DATES = ("January 4", "June 30", "August 21", "October 9", "December 2", "February 17", "May 11", "September 26")
OTHER_AGES = ("nine", "seventeen", "twenty-two", "thirty-four", "forty-one", "fifty-six", "seventy")
OTHER_JOBS = ("a pilot", "a butcher", "a librarian", "a dentist", "a plumber", "a judge", "a florist")
OTHER_BREEDS = ("Poodle", "Beagle", "Siamese", "Bulldog", "Dalmatian", "Persian", "Boxer", "Corgi")
OTHER_FAVORITES = {
    "color": ("red", "blue", "green", "yellow", "purple", "orange"), "food": ("pizza", "sushi", "lasagna", "curry", "pancakes"),
    "sport": ("tennis", "golf", "rugby", "hockey", "judo"), "music": ("jazz", "techno", "opera", "reggae", "folk"),
    "season": ("spring", "summer", "autumn", "winter"), "drink": ("lemonade", "green tea", "cider", "espresso"),
    "animal": ("the otter", "the owl", "the fox", "the panda"), "movie": ("Titanic", "Jaws", "Alien", "Casablanca"),
    "film": ("Titanic", "Jaws", "Alien", "Casablanca"), "book": ("Dracula", "Emma", "Dune", "Moby Dick"),
    "band": ("Queen", "Blur", "Coldplay", "ABBA"), "singer": ("Adele", "Sting", "Cher", "Prince"), "song": ("Yesterday", "Imagine", "Hello"),
    "game": ("chess", "poker", "Scrabble", "Tetris"), "subject": ("history", "physics", "geography", "art"), "day": ("Monday", "Friday", "Sunday"),
    "city": ("Lisbon", "Toronto", "Prague", "Osaka"), "holiday": ("Easter", "Halloween", "Thanksgiving"), "hobby": ("knitting", "archery", "origami"),
    "ice cream": ("vanilla", "pistachio", "mango"), "flower": ("the tulip", "the orchid", "the daisy"), "fruit": ("mango", "pears", "cherries"),
}  # fmt: skip
WRONG = {
    "name": OTHER_NAMES, "nickname": OTHER_NAMES, "breed": OTHER_BREEDS, "home": OTHER_PLACES, "origin": OTHER_PLACES,
    "birthday": OTHER_DATES, "job": OTHER_JOBS, "employer": ("Siemens", "the post office", "a bank", "Ikea", "the city council"),
    **{f"favorite {kind}": others for kind, others in OTHER_FAVORITES.items()},
}  # fmt: skip

# The never-told side: what else could be asked of a thing whose name (say) was told. Kinds of subject → questions.
HALF_KNOWN = {
    "pet": {
        "age": ("How old is my {s}?", "When was my {s} born?"),
        "color": ("What color is my {s}?",),
        "breed": ("What breed is my {s}?", "What kind of {s} do I have?"),
        "food": ("What does my {s} like to eat?",),
        "vet": ("Who is my {s}'s vet?",),
        "weight": ("How much does my {s} weigh?",),
        "name": ("What's my {s}'s name?", "What is my {s} called?"),
    },
    "person": {
        "age": ("How old is my {s}?", "When is my {s}'s birthday?"),
        "job": ("What does my {s} do for a living?", "Where does my {s} work?"),
        "home": ("Where does my {s} live?",),
        "name": ("What's my {s}'s name?", "What is my {s} called?"),
        "phone": ("What's my {s}'s phone number?",),
        "pet": ("Does my {s} have a pet?",),
        "school": ("Where did my {s} go to school?",),
    },
}

# Words that stand in one another's place: a question about one is not answered by a fact about another.
SIBLINGS = (
    ("dog", "cat", "hamster", "rabbit", "parrot", "horse", "turtle"),
    ("mother", "father", "grandmother", "grandfather"), ("mom", "dad", "grandma", "grandpa"), ("sister", "brother", "cousin"),
    ("wife", "husband"), ("son", "daughter"), ("aunt", "uncle"), ("niece", "nephew"), ("boss", "colleague", "roommate", "neighbor"),
    ("girlfriend", "boyfriend"), ("doctor", "dentist", "therapist"), ("friend", "colleague"),
    ("guitar", "piano", "violin", "drums", "flute", "cello", "trumpet"), ("tennis", "golf", "football", "basketball", "hockey", "cricket"),
    ("car", "bike", "motorcycle", "boat"), ("laptop", "phone", "tablet", "camera"), ("breakfast", "lunch", "dinner"),
    ("coffee", "tea", "beer", "wine", "juice"), ("book", "film", "podcast", "series"), ("morning", "evening"), ("bedroom", "kitchen", "bathroom"),
    ("spanish", "french", "german", "italian", "japanese"), ("yoga", "pilates", "swimming", "boxing"), ("apartment", "office", "garage"),
    ("birthday", "anniversary", "graduation"), ("monday", "wednesday", "friday", "sunday"), ("summer", "winter"), ("cake", "bread", "soup", "salad"),
    ("bus", "train", "taxi", "plane"), ("necklace", "watch", "ring"), ("color", "song", "movie", "food"), ("wedding", "funeral", "conference"),
    ("instagram", "youtube", "twitter", "tiktok"), ("playlist", "album"), ("marathon", "triathlon"), ("cameras", "coins", "stamps", "postcards"),
    ("chess", "poker", "scrabble"), ("bread", "cookies", "pasta"), ("shoes", "jacket", "jeans"), ("jazz", "rock", "opera"), ("school", "university", "kindergarten"),
    ("city", "country", "village"), ("fishing", "hiking", "skiing", "sailing"), ("teacher", "nurse", "lawyer", "engineer"), ("roses", "tomatoes", "herbs"),
)  # fmt: skip
