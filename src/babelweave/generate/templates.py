"""Question patterns and stop words: the little grammar the lexical generator has, as data."""

from __future__ import annotations

from typing import Literal

Asked = Literal["what", "when", "how many"]
"""What a question leaves out of its sentence: a thing, a year, a number."""

QUESTIONS: dict[str, dict[Asked, str]] = {
    "ar": {"what": "ما هو {}؟", "when": "متى {}؟", "how many": "كم عدد {}؟"},
    "bn": {"what": "{} কী?", "when": "{} কবে?", "how many": "{} কতগুলি?"},
    "de": {"what": "Was ist {}?", "when": "Wann war {}?", "how many": "Wie viele {}?"},
    "el": {"what": "Τι είναι {};", "when": "Πότε {};", "how many": "Πόσα {};"},
    "en": {"what": "What is {}?", "when": "When was {}?", "how many": "How many {}?"},
    "es": {"what": "¿Qué es {}?", "when": "¿Cuándo fue {}?", "how many": "¿Cuántos {}?"},
    "fi": {"what": "Mikä on {}?", "when": "Milloin {}?", "how many": "Kuinka monta {}?"},
    "fr": {"what": "Qu'est-ce que {} ?", "when": "Quand {} ?", "how many": "Combien de {} ?"},
    "hi": {"what": "{} क्या है?", "when": "{} कब हुआ?", "how many": "{} कितने हैं?"},
    "id": {"what": "Apa itu {}?", "when": "Kapan {}?", "how many": "Berapa {}?"},
    "it": {"what": "Che cos'è {}?", "when": "Quando {}?", "how many": "Quanti {}?"},
    "ja": {"what": "{}とは何ですか?", "when": "{}はいつですか?", "how many": "{}はいくつですか?"},
    "ko": {"what": "{} 무엇입니까?", "when": "{} 언제입니까?", "how many": "{} 몇 개입니까?"},
    "ms": {"what": "Apakah {}?", "when": "Bilakah {}?", "how many": "Berapakah {}?"},
    "nl": {"what": "Wat is {}?", "when": "Wanneer was {}?", "how many": "Hoeveel {}?"},
    "pl": {"what": "Co to jest {}?", "when": "Kiedy {}?", "how many": "Ile {}?"},
    "pt": {"what": "O que é {}?", "when": "Quando foi {}?", "how many": "Quantos {}?"},
    "ru": {"what": "Что такое {}?", "when": "Когда {}?", "how many": "Сколько {}?"},
    "sv": {"what": "Vad är {}?", "when": "När var {}?", "how many": "Hur många {}?"},
    "te": {"what": "{} ఏమిటి?", "when": "{} ఎప్పుడు?", "how many": "{} ఎన్ని?"},
    "th": {"what": "{} คืออะไร", "when": "{} เมื่อใด", "how many": "{} มีจำนวนเท่าใด"},
    "tr": {"what": "{} nedir?", "when": "{} ne zaman?", "how many": "Kaç {}?"},
    "vi": {"what": "{} là gì?", "when": "{} khi nào?", "how many": "Có bao nhiêu {}?"},
    "zh": {"what": "{}是什么？", "when": "{}是什么时候？", "how many": "有多少{}？"},
}
"""Language -> what is asked -> pattern; only languages whose patterns are known to be right stand here."""

STOP_WORDS: dict[str, frozenset[str]] = {
    "en": frozenset(
        "a about above after again against all also although am among an and any are around as at be "
        "because been before being below between born both but by called can cannot could did do does "
        "doing down during each either even every few first for from further get had has have having he "
        "her here hers him his how however i if in into is it its itself just last later less made make "
        "many may me might more most much must my near neither never no nor not now of off often on once "
        "one only onto or other our out over own per same several she should since so some such than that "
        "the their them then there these they this those though three through to too toward towards two "
        "under until up upon us use used using very via was we well were what when where whether which "
        "while who whom whose why will with within without would yet you your".split()
    ),
    "ar": frozenset(
        "أن أو أي إلى إن التي الذي الذين بعد بين بها به ثم حيث ذلك عام عن عند على فقد في قبل قد كان كانت "
        "كل كما لا لم لن ليس ما مثل مع من منها منه هذا هذه هناك هو هي وقد وكان وكانت ولم وهو وهي".split()
    ),
    "de": frozenset(
        "aber alle als also am an auch auf aus bei bis da damit dann das dass dem den der des die dies "
        "diese dieser dieses doch durch ein eine einem einen einer eines er es für gegen haben hat hatte "
        "hier ich ihm ihr ihre im in ist ja kann kein keine mit nach nicht noch nur ob oder ohne sein "
        "seine seit sich sie sind so über um und unter vom von vor war waren was wenn werden wie wird "
        "wurde wurden zu zum zur zwischen".split()
    ),
    "es": frozenset(
        "a al ante aunque bajo cada como con contra cual cuando de del desde donde dos durante e el ella "
        "ellos en entre era es esa ese esta este esto estos fue fueron ha había hasta hay la las le les lo "
        "los más muy ni no o otra otro para pero por porque que se según ser si sin sobre son su sus "
        "también tan tiene todo tras un una uno unos y ya".split()
    ),
    "hi": frozenset(
        "इन इस इसके उन उनके उस उसके एक और कर करने का कि किया की के को गई गए गया जब जाता जो तक तथा तो था थी "
        "थे द्वारा ने पर बाद भी में यह या ये रूप लिए वह वे सकता साथ से ही हुआ हुई है हैं हो होता".split()
    ),
    "vi": frozenset(
        "bị bởi các cho có của cũng do đã đang đến để đó được hay hoặc hơn khi không là lại mà một này như "
        "nhưng những nó ở ra rằng sau sẽ sự tại theo thì trên trong từ và vào vẫn về với vì".split()
    ),
}
"""Words that carry no subject. Elsewhere the lexicon decides: wordnets hold few function words."""

IRREGULAR: dict[str, str] = {
    form: lemma
    for form, _, lemma in (
        pair.partition(":")
        for pair in (
            "became:become began:begin begun:begin bought:buy broke:break broken:break brought:bring "
            "built:build came:come caught:catch children:child chose:choose chosen:choose died:die "
            "drew:draw drawn:draw drove:drive driven:drive fed:feed feet:foot fell:fall fought:fight "
            "flew:fly flown:fly forbidden:forbid gave:give given:give geese:goose grew:grow grown:grow "
            "held:hold kept:keep knew:know laid:lay led:lead lost:lose meant:mean men:man met:meet "
            "mice:mouse paid:pay ran:run rose:rise risen:rise sang:sing sung:sing sank:sink sent:send "
            "shown:show shot:shoot sold:sell spoke:speak spoken:speak spent:spend stood:stand "
            "struck:strike taught:teach teeth:tooth thought:think threw:throw thrown:throw took:take "
            "taken:take told:tell understood:understand went:go women:woman won:win wrote:write "
            "written:write"
        ).split()
    )
}
"""English forms that no ending rule reaches."""

ARABIC_PREFIXES = ("وال", "بال", "كال", "فال", "لل", "ال", "و")
"""The article and the particles written together with it, longest first."""
