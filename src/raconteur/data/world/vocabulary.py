"""The words of the world: genres, moods, settings, and what titles and descriptions are built from."""

GENRES = (
    "Action", "Adventure", "Animation", "Comedy", "Crime", "Documentary", "Drama",
    "Family", "Fantasy", "Horror", "Mystery", "Romance", "Sci-Fi", "Western",
)  # fmt: skip

KIDS_GENRES = ("Adventure", "Animation", "Family", "Fantasy")

MOODS = (
    "bleak", "cosy", "dreamlike", "fast-paced", "gritty", "heartfelt",
    "playful", "quirky", "slow-burning", "suspenseful", "tender", "uplifting",
)  # fmt: skip

SEASONAL_GENRE = "Romance"

NOUNS = {
    "Action": ("Convoy", "Fuse", "Gauntlet", "Hammer", "Pursuit", "Rampart", "Strike", "Vanguard"),
    "Adventure": ("Atlas", "Caravan", "Compass", "Expedition", "Lagoon", "Passage", "Summit", "Voyage"),
    "Animation": ("Balloon", "Beetle", "Crayon", "Hedgehog", "Marble", "Puddle", "Sprocket", "Teapot"),
    "Comedy": ("Banquet", "Blunder", "Cousin", "Landlord", "Mix-Up", "Neighbour", "Pickle", "Wedding Guest"),
    "Crime": ("Alibi", "Evidence", "Heist", "Informant", "Ledger", "Racket", "Verdict", "Witness"),
    "Documentary": ("Archive", "Field Notes", "Glacier", "Harvest", "Migration", "Orchestra", "Reef", "Testimony"),
    "Drama": ("Daughter", "Inheritance", "Letter", "Orchard", "Promise", "Silence", "Threshold", "Winter"),
    "Family": ("Birthday", "Camping Trip", "Grandmother", "Holiday", "Kite", "Puppy", "Schoolyard", "Treehouse"),
    "Fantasy": ("Amulet", "Dragon", "Enchantress", "Grimoire", "Oracle", "Rune", "Throne", "Wyvern"),
    "Horror": ("Attic", "Crypt", "Hollow", "Marrow", "Possession", "Seance", "Shroud", "Whisper"),
    "Mystery": ("Cipher", "Disappearance", "Footprint", "Keyhole", "Lantern", "Manuscript", "Riddle", "Stranger"),
    "Romance": ("Bouquet", "Honeymoon", "Kiss", "Love Song", "Rendezvous", "Serenade", "Valentine", "Waltz"),
    "Sci-Fi": ("Android", "Colony", "Exoplanet", "Nebula", "Orbit", "Paradox", "Signal", "Starship"),
    "Western": ("Canyon", "Gunslinger", "Homestead", "Mustang", "Outlaw", "Prairie", "Saloon", "Sheriff"),
}

ADJECTIVES = (
    "Amber", "Borrowed", "Broken", "Burning", "Copper", "Crooked", "Distant", "Drifting", "Electric", "Endless",
    "Fading", "Forgotten", "Frozen", "Gilded", "Golden", "Hidden", "Hollow", "Invisible", "Iron", "Ivory",
    "Last", "Little", "Lonely", "Lost", "Lucky", "Midnight", "Paper", "Perfect", "Quiet", "Restless",
    "Second", "Secret", "Seventh", "Silver", "Stolen", "Tangled", "Velvet", "Wandering", "Wild", "Winding",
)  # fmt: skip

PLACES = (
    "Alder Bay", "Ashgrove", "Bellmoor", "Briar Hill", "Cinder Falls", "Crane Harbour", "Dunmere", "Eastwick Lane",
    "Elmstead", "Fernwater", "Foxhollow", "Glass Street", "Greyhaven", "Heron Lake", "Ivory Coast Road", "Juniper Row",
    "Kestrel Point", "Larkspur", "Mallow Creek", "Mirefield", "Northgate", "Oakhurst", "Pebble Quay", "Quarry Bend",
    "Ravenna Square", "Saltmarsh", "Sundown Pier", "Thornbury", "Umber Valley", "Wexley",
)  # fmt: skip

SETTINGS = (
    "a harbour town", "a mountain village", "a crowded capital", "a lonely lighthouse", "an old boarding house",
    "a travelling fair", "a research station", "a desert outpost", "a night train", "a suburban street",
    "a river delta", "an island nobody maps",
)  # fmt: skip

HEROES = (
    "two sisters", "a retired courier", "a young teacher", "three old friends", "a stubborn mechanic", "a rookie guard",
    "a widowed baker", "an unlikely pair",
    "a nameless drifter", "a gifted child", "a disgraced doctor", "a night clerk",
)  # fmt: skip

TURNS = (
    "face a choice that changes everything", "chase a secret that should have stayed buried", "learn what home means",
    "set out to repair an old mistake", "get one last chance", "stumble into more trouble than planned",
)  # fmt: skip

OWN_DEVICES = ("tv", "phone", "tablet", "web")
OTHER_DEVICES = ("kids-tablet", "bedroom-tv", "guest-phone")
DEVICES = (*OWN_DEVICES, *OTHER_DEVICES)
