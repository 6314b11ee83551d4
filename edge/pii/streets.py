"""Words that make a line of text a street, by language; on folded text."""

from __future__ import annotations

from typing import Final

from edge.pii.vocabulary import words

SURE_TYPES: Final = (
    "street|streets|avenue|ave|boulevard|blvd|road|crescent|cres|terrace|lane|ln|highway|hwy"
    "|parkway"
    "|pkwy|expressway|freeway|turnpike|cul-de-sac|mews|esplanade|promenade|causeway|roundabout"
    "|quadrant|throughway|gardens|heights|estate|villas|circuit|cct|close|grove|circle|trail"
)
"""Words of English that are hardly anything but a street behind a name."""
LOOSE_TYPES: Final = (
    "st|rd|dr|drive|way|court|ct|place|pl|square|sq|hill|rise|view|walk|row|green|park|pk|loop|link"
    "|path|plaza|alley|garden|vale|bridge|brow|bank|wharf|quay|point|pt|ridge|run|pass|pike|rte"
    "|route"
    "|cove|bend|crossing|field|fields|meadow|meadows|mount|mt|spring|springs|track|wynd|yard|cir"
    "|trl"
    "|ter|cl|gr|hts|gdns|drv|av|aly|blv|bl|hollow|landing|manor|mill|mills|forge|ford|fort|glen"
    "|isle"
    "|island|junction|key|knoll|knolls|lake|light|lodge|oval|orchard|overpass|port|prairie|ramp"
    "|ranch"
    "|rapid|rest|river|shoal|shore|spur|station|stravenue|stream|summit|trace|tunnel|underpass"
    "|union"
    "|valley|viaduct|village|ville|vista|well|wells|creek|corner|corners|course|cliff|canyon|camp"
    "|bypass|burg|rapids|groves|valleys|spurs|locks|ports|centers|villages|ridges|estates|lees"
    "|villa|brook|branch|bluff|bottom|beach|bayou|arcade|annex|club|common|center|circles|mountain"
    "|mountains|passage|amble|outlook|rotary|courtyard|fairway|dale|dam"
    "|divide|extension|fall|falls|ferry|flat|flats|forest|fork|forks|gateway|harbor|haven|inlet"
    "|mission|motorway|neck|parks|plain|plains|radial|skyway|squares|unions|views|walks|ways|shores"
)
"""Words that end street names (the US Postal Service's suffixes among them) and mean other things
as well: they count with a house number in front."""

NOT_NAMES: Final = words(
    "minute minutes min mins hour hours hr hrs day days week weeks month months year years yrs "
    "percent"
    " off more less only items item pieces pcs people persons person seats seat guests rooms room "
    "beds"
    " bed bath car cars truck bus buses bike lot level floor levels floors free new hot cold best "
    "mile"
    " miles km kms kg g mg ml m metre metres meter meters feet ft inch inches am pm x for per to "
    "and or"
    " in of at on is are was the a an no this that these those one two three four five six seven "
    "eight"
    " nine ten with your our my all any every each world great big small large super mega extra "
    "lane"
    " way single double drive thru players pack packs star stars course courses hole holes ton tons"
    " tonne tonnes cash dollars dollar euro euros usd gbp sgd speed limit exit gate platform "
    "terminal"
    " bay line lines service services parking walk when while if who which it as can we you i"
)
"""Words behind a number that make it an amount and not a house."""
NOT_STREETS: Final = words(
    "the a an this that one no your our my any every each off on by of for and or car cross main "
    "side"
    " end rail closed bus cycle bike truck fast slow left right middle passing single double wrong"
    " toll service private access public dead narrow wet icy main open under across along down up"
    " to from keep in at ahead via with new old information super memory electric royal"
)
"""Words before "road", "lane" or "gardens" that make no name of a street."""

PREFIX_TYPES: Final = (
    # Malay, as in Singapore and Malaysia
    "jalan|jln|lorong|lor|lrg|persiaran|lebuh|lebuhraya|solok|kampung|kampong|taman"
    # Spanish
    "|calle|cl\\.|c/|avenida|avda\\.?|av\\.|plaza|pza\\.|paseo|carretera|ctra\\.?|camino|ronda"
    "|travesia"
    "|callejon|urbanizacion|urb\\.|alameda|rambla|glorieta|cuesta|pasaje|circuito|privada|cerrada"
    "|calzada|andador|prolongacion|viaducto|ampliacion|boulevar|peatonal|diagonal|retorno|corredor"
    "|eje"
    "|acceso|canada|pasadizo|c\\.|periferico|vereda|jiron|jr\\.|carrer|cra\\.|carrera|diag\\.|vial"
    # Portuguese
    "|rua|r\\.|travessa|praca|rodovia|estrada|largo|beco|alameda|quadra|conjunto|setor|loteamento"
    "|patio|campo|viela|trevo|favela|feira|colonia|passarela|chacara|jardim|lago|lagoa|aeroporto"
    "|area|fazenda|ladeira|condominio|esplanada|morro|nucleo|parque|recanto|residencial|sitio|vale"
    "|vila|distrito"
    # French
    "|rue|boulevard|bd\\.?|bld|chemin|impasse|allee|allees|quai|route|cours|place|square|passage"
    "|avenue|av|faubourg|sentier|villa|residence|ruelle|rond-point"
    # Italian
    "|via|viale|piazza|piazzale|corso|vicolo|strada|borgo|contrada|stretto|rotonda|canale|incrocio"
    "|lungomare|lungarno|salita|localita"
    # Dutch, German
    "|laan|am|an der|an den|auf der|auf dem|im|in der|in den|zum|zur|unter den|hinter der"
    # Polish, Russian, Ukrainian, Romanian, Turkish
    "|ul\\.?|ulica|al\\.|aleja|os\\.|osiedle|plac|pl\\.|улица|ул\\.?|проспект|пр\\.|переулок"
    "|пер\\.|шоссе|бульвар"
    "|вулиця|вул\\.|strada|str\\.|bulevardul|bd-ul|calea|aleea|mahallesi|mah\\.|cadde|sokak"
)
"""Words that stand before the street's name."""
SURE_PREFIXES: Final = words(
    "jalan jln lorong lrg persiaran kampung kampong calle avenida avda avda. paseo carretera rua "
    "travessa"
    " rodovia rue boulevard impasse allee viale piazza corso vicolo улица ул. ул проспект вулиця "
    "вул. ul."
    " ulica piazzale lungomare faubourg quai chemin avenue"
)
"""Those that make an address without a house number."""

SUFFIX_TYPES: Final = (
    "str\\.?|strasse|straße|weg|platz|allee|gasse|damm|ufer|chaussee|steig|stieg|pfad|markt|graben"
    "|straat|laan|plein|gracht|kade|dijk|hof|singel|steeg|dreef|baan|plantsoen|straatje"
    "|gatan|vagen|vag|gata|stigen|torget|vegen|veien|veg|vei|gaten|vej|gade|alle|stien|plads"
    "|vaenget|vanget|bakken|straede|strade|brygge|lokka|stykket|myra|jordet|flata|skogen|vika|ekra"
    "|roa|eggen|tunet|grenda|engen|plassen|gjerdet|moen|marka|svingen|stubben|haugen"
    "|bulevardi|kaari|katu|polku|kuja|raitti|utca|utja|udvar|caddesi|sokagi|ulice|namesti"
    "|gotu|braut|gerdi|hraun|stigur|hvammur|vegur"
)
"""Word endings of street names in German, Dutch, the Nordic languages, Hungarian, Turkish, Czech
and Icelandic, which a house number follows. Left out are those that English words end in, such as
-gate, -ring and -ter."""

US_STATES: Final = (
    "al|ak|az|ar|ca|co|ct|de|dc|fl|ga|hi|id|il|in|ia|ks|ky|la|me|md|ma|mi|mn|ms|mo|mt|ne|nv|nh|nj"
    "|nm|ny|nc|nd|oh|ok|or|pa|pr|ri|sc|sd|tn|tx|ut|vt|va|wa|wv|wi|wy|as|gu|vi|mp|fm|mh|pw|aa|ae|ap"
)
AU_STATES: Final = "nsw|vic|qld|wa|sa|tas|act|nt"
UK_AREAS: Final = (
    "ab|al|ba|bb|bd|bf|bh|bl|bn|br|bs|bt|b|ca|cb|cf|ch|cm|co|cr|ct|cv|cw|da|dd|de|dg|dh|dl|dn|dt"
    "|dy|ec"
    "|eh|en|ex|e|fk|fy|gl|gu|gy|g|ha|hd|hg|hp|hr|hs|hu|hx|ig|im|ip|iv|ka|kt|kw|ky|la|ld|le|ll|ln"
    "|ls|lu"
    "|l|me|mk|ml|m|ne|ng|nn|np|nr|nw|n|ol|ox|pa|pe|ph|pl|po|pr|rg|rh|rm|sa|se|sg|sk|sl|sm|sn|so|sp"
    "|sr"
    "|ss|st|sw|sy|s|ta|td|tf|tn|tq|tr|ts|tw|ub|wa|wc|wd|wf|wn|wr|ws|wv|w|yo|ze|je"
)
"""Postcode areas of Royal Mail."""
