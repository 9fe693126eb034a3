"""A few entries to look at in a journal that is new."""

from __future__ import annotations

import typing as t


class Entry(t.NamedTuple):
    author: str
    title: str
    place: str
    body: str


ENTRIES = [
    Entry(
        "Айгерім",
        "Наурыз таңы",
        "Түркістан",
        "Таң ата көшеде самауырын түтіні көтерілді. Көрші апа бір кесе наурыз көже ұсынып,"
        " «жаңа жыл жақсылық әкелсін» деді.\n\n"
        "Күн мен түн теңелген күні қала бір үлкен дастарқанға айналады. Алтыбақан құрылып, балалар"
        " кезекпен тербеледі, ал кешке қарай домбыра үні басылмайды.\n\n"
        "Жолға шыққанда торсық толы қымыз берді. Жолаушыға артық жүк емес, артық қуаныш.",
    ),
    Entry(
        "Daniyar",
        "Three days to the singing dune",
        "Altyn-Emel",
        "You hear it before you believe it: a low organ note, as if someone far away leaned on one"
        " key. The dune sings when the sand is dry and the wind comes from the west.\n\n"
        "We waited two days for both. On the third the ridge began to hum under our boots, and"
        " nobody said a word until it stopped.\n\n"
        "Bring more water than you think. The road from Basshi is forty kilometres of washboard,"
        " and the only shade is the one you carry.",
    ),
    Entry(
        "Marta",
        "The night train to Semey",
        "Semey",
        "The samovar at the end of the carriage never cools. A retired geologist in the next bunk"
        " unrolled a map from 1974 and showed me which of the lakes are still there.\n\n"
        "By midnight six of us shared baursaks on his table and the steppe went by outside, black,"
        " with one light every half an hour.\n\n"
        "I got off with four addresses in my notebook and an invitation to a wedding.",
    ),
    Entry(
        "Айгерім",
        "Жұлдызға толы Үстірт",
        "Бозжыра",
        "Мұнда түн тыныштықтан басталады. Алдымен жел басылады, сосын өз жүрегіңнің соғысын"
        " естисің.\n\n"
        "Құс жолы көкжиектен көкжиекке дейін созылып жатты. Шатырды құрмай, киіз үстінде жатып,"
        " аққан жұлдыз санадық: жиырма үштен кейін шатастық.\n\n"
        "Таңертең ақ бор жартастар алдымен көк, сосын қызғылт, ақыры сүттей ақ болды.",
    ),
    Entry(
        "Daniyar",
        "Forty below and a warm yurt",
        "Қарқаралы",
        "At forty below the air squeaks. Breath freezes on the lashes, the horses wear white beards,"
        " and every sound comes from very near.\n\n"
        "Inside the felt walls it is twenty above. Serik's mother laughs at my three pairs of gloves"
        " and hands me a bowl so hot that I need all of them.\n\n"
        "Felt, birch, horsehair rope: not one nail in the whole house, and it will stand up to any"
        " storm you care to name.",
    ),
    Entry(
        "Marta",
        "Apples at the foot of the mountains",
        "Алматы",
        "Every apple you ever ate has a grandmother here. The wild groves above the city still bear"
        " fruit of every size and colour, some bitter, some tasting of roses.\n\n"
        "A ranger cut one in half and counted the seeds aloud in Kazakh, then in Russian, then, for"
        " me, in very careful German.\n\n"
        "We came down at sunset with full pockets. The lights of the city went on below us all at"
        " once, as if someone had been waiting for us.",
    ),
    Entry(
        "Marta",
        "Where the caravans rested",
        "Сауран",
        "The walls of Sauran stand alone in the plain, the colour of bread. Eight roads met here"
        " once; now a lark has the whole city to itself.\n\n"
        "The keeper showed me the mouth of a well and let me drop a stone. We counted to four.\n\n"
        "He would not take money. He took two of my postcards and gave me back a shard of blue tile"
        " to look at, then put it carefully where it had lain for five hundred years.",
    ),
]
