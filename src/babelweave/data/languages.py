"""The one table that maps every source's language code to its BCP-47 tag in the shortest form.

Sources disagree about one language: `zh_cn`, `cmn`, `zho_Hans` and `zho-CN` are all `zh` here, so that
texts of several sources join on the tag. The rules, in this order:

1. blanks are stripped, `_` is `-`, case does not count;
2. ISO 639-3 and 639-2/B codes become the two-letter code where there is one, and the individual language
   of a macrolanguage that sources mean by it becomes the macrolanguage (`arb` -> `ar`, `zsm` -> `ms`);
3. a script is kept only where it is not the usual one (`zho_Hant` -> `zh-Hant`, `hin_Deva` -> `hi`);
4. a region is dropped (`es-LA` -> `es`), but Taiwan and Macau write `zh-Hant`, and `zh-HK` stays itself:
   sources such as MKQA hold it beside `zh_tw`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from babelweave.errors import UsageError


class _Language(NamedTuple):
    name: str
    usual: frozenset[str]
    """The usual script, ISO 15924, by each of its names; the tag leaves it out."""
    others: frozenset[str]
    """Scripts it is also written in, in some source; the tag names them."""


# Columns: tag; usual script (/ another name of it, + other scripts); English name; other codes for it.
# Rows: ISO 639-1 in full, the languages of FLORES-200 and of the Open Multilingual Wordnet.
_TABLE = """
aa   Latn       Afar                    aar
ab   Cyrl       Abkhazian               abk
ace  Latn+Arab  Acehnese
acm  Arab       Mesopotamian Arabic
acq  Arab       Ta'izzi-Adeni Arabic
ae   Avst       Avestan                 ave
aeb  Arab       Tunisian Arabic
af   Latn       Afrikaans               afr
ajp  Arab       South Levantine Arabic
ak   Latn       Akan                    aka
am   Ethi       Amharic                 amh
an   Latn       Aragonese               arg
apc  Arab       North Levantine Arabic
ar   Arab+Latn  Arabic                  ara arb
ars  Arab       Najdi Arabic
ary  Arab       Moroccan Arabic
arz  Arab       Egyptian Arabic
as   Beng       Assamese                asm
ast  Latn       Asturian
av   Cyrl       Avaric                  ava
awa  Deva       Awadhi
ay   Latn       Aymara                  aym ayr
az   Latn       Azerbaijani             aze azj
azb  Arab       South Azerbaijani
ba   Cyrl       Bashkir                 bak
ban  Latn       Balinese
be   Cyrl       Belarusian              bel
bem  Latn       Bemba
bg   Cyrl       Bulgarian               bul
bho  Deva       Bhojpuri
bi   Latn       Bislama                 bis
bjn  Latn+Arab  Banjar
bm   Latn       Bambara                 bam
bn   Beng       Bengali                 ben
bo   Tibt       Tibetan                 bod tib
br   Latn       Breton                  bre
bs   Latn       Bosnian                 bos
bug  Latn       Buginese
ca   Latn       Catalan                 cat
ce   Cyrl       Chechen                 che
ceb  Latn       Cebuano
ch   Latn       Chamorro                cha
cjk  Latn       Chokwe
ckb  Arab       Central Kurdish
co   Latn       Corsican                cos
cr   Cans       Cree                    cre
crh  Latn       Crimean Tatar
cs   Latn       Czech                   ces cze
cu   Cyrl       Church Slavic           chu
cv   Cyrl       Chuvash                 chv
cy   Latn       Welsh                   cym wel
da   Latn       Danish                  dan
de   Latn       German                  deu ger
din  Latn       Dinka                   dik
dv   Thaa       Dhivehi                 div
dyu  Latn       Dyula
dz   Tibt       Dzongkha                dzo
ee   Latn       Ewe                     ewe
el   Grek       Greek                   ell gre
en   Latn       English                 eng
eo   Latn       Esperanto               epo
es   Latn       Spanish                 spa
et   Latn       Estonian                est ekk
eu   Latn       Basque                  eus baq
fa   Arab       Persian                 fas per pes
ff   Latn       Fulah                   ful fuv
fi   Latn       Finnish                 fin
fj   Latn       Fijian                  fij
fo   Latn       Faroese                 fao
fon  Latn       Fon
fr   Latn       French                  fra fre
fur  Latn       Friulian
fy   Latn       Western Frisian         fry
ga   Latn       Irish                   gle
gd   Latn       Scottish Gaelic         gla
gl   Latn       Galician                glg
gn   Latn       Guarani                 grn gug
gu   Gujr       Gujarati                guj
gv   Latn       Manx                    glv
ha   Latn       Hausa                   hau
he   Hebr       Hebrew                  heb iw
hi   Deva+Latn  Hindi                   hin
hne  Deva       Chhattisgarhi
ho   Latn       Hiri Motu               hmo
hr   Latn       Croatian                hrv
ht   Latn       Haitian Creole          hat
hu   Latn       Hungarian               hun
hy   Armn       Armenian                hye arm
hz   Latn       Herero                  her
ia   Latn       Interlingua             ina
id   Latn       Indonesian              ind in
ie   Latn       Interlingue             ile
ig   Latn       Igbo                    ibo
ii   Yiii       Sichuan Yi              iii
ik   Latn       Inupiaq                 ipk
ilo  Latn       Iloko
io   Latn       Ido                     ido
is   Latn       Icelandic               isl ice
it   Latn       Italian                 ita
iu   Cans       Inuktitut               iku
ja   Jpan+Latn  Japanese                jpn
jv   Latn       Javanese                jav
ka   Geor       Georgian                kat geo
kab  Latn       Kabyle
kac  Latn       Kachin
kam  Latn       Kamba
kbp  Latn       Kabiye
kea  Latn       Kabuverdianu
kg   Latn       Kongo                   kon
ki   Latn       Kikuyu                  kik
kj   Latn       Kuanyama                kua
kk   Cyrl       Kazakh                  kaz
kl   Latn       Kalaallisut             kal
km   Khmr       Khmer                   khm
kmb  Latn       Kimbundu
kn   Knda       Kannada                 kan
ko   Hang/Kore+Latn  Korean                  kor
kr   Latn+Arab  Kanuri                  kau knc
ks   Arab+Deva  Kashmiri                kas
ku   Latn       Kurdish                 kur kmr
kv   Cyrl       Komi                    kom
kw   Latn       Cornish                 cor
ky   Cyrl       Kyrgyz                  kir
la   Latn       Latin                   lat
lb   Latn       Luxembourgish           ltz
lg   Latn       Ganda                   lug
li   Latn       Limburgish              lim
lij  Latn       Ligurian
lmo  Latn       Lombard
ln   Latn       Lingala                 lin
lo   Laoo       Lao                     lao
lt   Latn       Lithuanian              lit
ltg  Latn       Latgalian
lu   Latn       Luba-Katanga            lub
lua  Latn       Luba-Lulua
luo  Latn       Luo
lus  Latn       Mizo
lv   Latn       Latvian                 lav lvs
mag  Deva       Magahi
mai  Deva       Maithili
mg   Latn       Malagasy                mlg plt
mh   Latn       Marshallese             mah
mi   Latn       Maori                   mri mao
min  Latn+Arab  Minangkabau
mk   Cyrl       Macedonian              mkd mac
ml   Mlym       Malayalam               mal
mn   Cyrl       Mongolian               mon khk
mni  Beng+Mtei  Manipuri
mos  Latn       Mossi
mr   Deva       Marathi                 mar
ms   Latn       Malay                   msa may zsm
mt   Latn       Maltese                 mlt
mul  Zyyy       several languages
my   Mymr       Burmese                 mya bur
na   Latn       Nauru                   nau
nb   Latn       Norwegian Bokmål        nob
nd   Latn       North Ndebele           nde
ne   Deva       Nepali                  nep npi
ng   Latn       Ndonga                  ndo
nl   Latn       Dutch                   nld dut
nn   Latn       Norwegian Nynorsk       nno
no   Latn       Norwegian               nor
nr   Latn       South Ndebele           nbl
nso  Latn       Northern Sotho
nus  Latn       Nuer
nv   Latn       Navajo                  nav
ny   Latn       Nyanja                  nya
oc   Latn       Occitan                 oci
oj   Cans       Ojibwa                  oji
om   Latn       Oromo                   orm gaz
or   Orya       Odia                    ori ory
os   Cyrl       Ossetic                 oss
pa   Guru+Arab  Punjabi                 pan
pag  Latn       Pangasinan
pap  Latn       Papiamento
pi   Deva       Pali                    pli
pl   Latn       Polish                  pol
prs  Arab       Dari
ps   Arab       Pashto                  pus pbt
pt   Latn       Portuguese              por
qu   Latn       Quechua                 que quy
rm   Latn       Romansh                 roh
rn   Latn       Rundi                   run
ro   Latn       Romanian                ron rum mo mol
ru   Cyrl       Russian                 rus
rw   Latn       Kinyarwanda             kin
sa   Deva       Sanskrit                san
sat  Olck+Beng  Santali
sc   Latn       Sardinian               srd
scn  Latn       Sicilian
sd   Arab+Deva  Sindhi                  snd
se   Latn       Northern Sami           sme
sg   Latn       Sango                   sag
shn  Mymr       Shan
si   Sinh       Sinhala                 sin
sk   Latn       Slovak                  slk slo
sl   Latn       Slovenian               slv
sm   Latn       Samoan                  smo
sn   Latn       Shona                   sna
so   Latn       Somali                  som
sq   Latn       Albanian                sqi alb als
sr   Cyrl+Latn  Serbian                 srp
ss   Latn       Swati                   ssw
st   Latn       Southern Sotho          sot
su   Latn       Sundanese               sun
sv   Latn       Swedish                 swe
sw   Latn       Swahili                 swa swh
szl  Latn       Silesian
ta   Taml       Tamil                   tam
taq  Latn+Tfng  Tamasheq
te   Telu       Telugu                  tel
tg   Cyrl       Tajik                   tgk
th   Thai       Thai                    tha
ti   Ethi       Tigrinya                tir
tk   Latn       Turkmen                 tuk
tl   Latn       Tagalog                 tgl fil
tn   Latn       Tswana                  tsn
to   Latn       Tongan                  ton
tpi  Latn       Tok Pisin
tr   Latn       Turkish                 tur
ts   Latn       Tsonga                  tso
tt   Cyrl       Tatar                   tat
tum  Latn       Tumbuka
tw   Latn       Twi                     twi
ty   Latn       Tahitian                tah
tzm  Tfng       Central Atlas Tamazight
ug   Arab       Uyghur                  uig
uk   Cyrl       Ukrainian               ukr
umb  Latn       Umbundu
ur   Arab+Latn  Urdu                    urd
uz   Latn+Cyrl  Uzbek                   uzb uzn
ve   Latn       Venda                   ven
vec  Latn       Venetian
vi   Latn       Vietnamese              vie
vo   Latn       Volapük                 vol
wa   Latn       Walloon                 wln
war  Latn       Waray
wo   Latn       Wolof                   wol
xh   Latn       Xhosa                   xho
yi   Hebr       Yiddish                 yid ydd ji
yo   Latn       Yoruba                  yor
yue  Hant+Hans  Cantonese
za   Latn       Zhuang                  zha
zh   Hans+Hant  Chinese                 zho chi cmn
zu   Latn       Zulu                    zul
"""
_SCRIPT_NAMES = {
    "Arab": "Arabic script",
    "Beng": "Bengali script",
    "Cyrl": "Cyrillic",
    "Deva": "Devanagari",
    "Hans": "simplified",
    "Hant": "traditional",
    "Latn": "Latin script",
    "Mtei": "Meetei Mayek",
    "Tfng": "Tifinagh",
}
_TAG = re.compile(r"(?P<language>[a-z]{2,3})(?:-(?P<script>[a-z]{4}))?(?:-(?P<region>[a-z]{2}|\d{3}))?")


@cache
def _tables() -> tuple[dict[str, _Language], dict[str, str]]:
    """tag -> language, and every code of the table -> tag."""
    languages: dict[str, _Language] = {}
    tags: dict[str, str] = {}
    for row in _TABLE.strip().splitlines():
        tag, scripts, rest = row.split(None, 2)
        name, _, codes = rest.partition("  ")
        usual, *others = scripts.split("+")
        languages[tag] = _Language(name, frozenset(usual.split("/")), frozenset(others))
        for code in (tag, *codes.split()):
            tags[code] = tag
    return languages, tags


@cache
def canonical(code: str) -> str:
    """The BCP-47 tag, shortest form, of a language code of any source.

    Raises:
        UsageError: the code is not in the table.

    Example:
        >>> [canonical(c) for c in ("zh_cn", "zho_Hant", " ar", "arb_Arab", "es-LA", "zsm")]
        ['zh', 'zh-Hant', 'ar', 'ar', 'es', 'ms']
    """
    languages, tags = _tables()
    match = _TAG.fullmatch(code.strip().replace("_", "-").lower())
    tag = tags.get(match["language"]) if match else None
    if match is None or tag is None:
        raise UsageError(f"unknown language {code!r}; expected a BCP-47 tag or an ISO 639 code such as 'de'")
    script = (match["script"] or "").title()
    if tag == "zh" and not script and match["region"] in ("tw", "mo", "hk"):
        return "zh-HK" if match["region"] == "hk" else "zh-Hant"
    if not script or script in languages[tag].usual:
        return tag
    if script not in languages[tag].others:
        raise UsageError(f"unknown language {code!r}: {languages[tag].name} is not written in {script} here")
    return f"{tag}-{script}"


@cache
def english_name(code: str) -> str:
    """The English name of a language, for prompts and tables: "Chinese (traditional)" for `zh-Hant`.

    Raises:
        UsageError: the code is not in the table.
    """
    tag, _, variant = canonical(code).partition("-")
    name = _tables()[0][tag].name
    if variant == "HK":
        return f"{name} (Hong Kong)"
    return f"{name} ({_SCRIPT_NAMES[variant]})" if variant else name


def scripts(code: str) -> frozenset[str]:
    """The scripts a language is written in, ISO 15924: the one its tag names, else the usual one.

    Raises:
        UsageError: the code is not in the table.
    """
    tag, _, variant = canonical(code).partition("-")
    if variant == "HK":
        return frozenset({"Hant"})
    return frozenset({variant}) if variant else _tables()[0][tag].usual


def known_languages() -> list[str]:
    """Every tag of the table without a script, sorted."""
    return sorted(_tables()[0])
