"""Vocabularies of the generated transcripts: ordinary words, and names that Faker lacks."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _lines(text: str) -> tuple[str, ...]:
    return tuple(" ".join(item.split()) for item in text.split(",") if item.strip())


NOUNS: Final = _words("""
time year people way day man thing woman life child world school state family student group country
problem hand part place case week company system program question work government number night
point home water room mother area money story fact month lot right study book eye job word business
issue side kind head house service friend father power hour game line end member law car city name
president team minute idea kid body information back parent face others level office door health
person art war history party result change morning reason research girl guy moment air teacher
force education foot boy age policy process music market sense nation plan college interest death
experience effect use class control field development role student price phone shop shopping typing
opinion password number address email account card order ticket train bus flight hotel kitchen
bathroom garden window table chair bed lamp floor wall ceiling roof stairs street road bridge river
lake mountain beach island forest tree flower grass leaf dog cat bird horse cow sheep fish chicken
bread butter cheese milk coffee tea sugar salt soup rice pasta pizza burger salad apple banana
orange lemon grape strawberry carrot potato tomato onion garlic pepper oil wine beer juice bottle
glass cup plate knife fork spoon pan oven fridge freezer dishwasher washing machine camera screen
keyboard mouse laptop computer tablet charger cable battery printer speaker microphone headset
video picture photo song album concert movie film show series episode season actor actress director
scene stream chat comment subscriber viewer follower channel link button page website app update
version bug feature server network internet signal connection error message notification setting
weather rain snow wind storm sun cloud sky moon star summer winter spring autumn holiday vacation
birthday wedding meeting appointment interview exam lesson course homework grade score match goal
player coach league tournament trophy race bike helmet wheel engine fuel driver passenger seat belt
traffic light parking garage ticket fine police officer doctor nurse hospital patient medicine pill
pain fever cough headache stomach heart blood skin hair nose mouth tooth ear finger arm leg knee
shoulder neck brain dream sleep breakfast lunch dinner snack recipe ingredient restaurant cafe bar
menu waiter bill tip receipt wallet purse bag box package parcel letter stamp envelope paper pen
pencil notebook newspaper magazine article chapter sentence language grammar accent voice sound
noise silence light darkness colour shape size weight height length distance speed temperature
pressure energy heat fire smoke ash dust dirt mud sand stone rock metal gold silver iron steel wood
plastic rubber cotton wool silk leather shirt trousers dress skirt jacket coat hat scarf glove sock
shoe boot ring necklace watch clock alarm calendar schedule deadline project task report
presentation budget tax loan debt salary bank insurance contract lawyer judge court crime thief
victim witness evidence rule law right freedom peace vote election candidate king queen prince
princess soldier army weapon bomb enemy hero villain monster ghost dragon magic science physics
chemistry biology mathematics experiment theory model data graph sample average customer client
boss manager colleague employee worker engineer designer artist writer poet singer dancer
photographer farmer baker butcher plumber electrician carpenter builder painter cleaner neighbour
uncle aunt cousin brother sister son daughter husband wife baby grandma grandpa twin couple crowd
audience community society culture tradition religion church temple museum library theatre cinema
stadium gym pool park playground zoo farm village town capital border airport station harbour port
ship boat sail anchor tide wave shore cave desert jungle valley hill cushion blanket pillow curtain
carpet mirror shelf drawer cupboard closet key lock ladder hammer nail screw tool rope string
needle thread button zip pocket hole corner edge top bottom middle tutorial playlist thumbnail
giveaway donation sponsor discount coupon warranty refund delivery
""")

VERBS: Final = _words("""
be have do say go get make know think take see come want look use find give tell work call try ask
need feel become leave put mean keep let begin help talk turn start show hear play run move like
live believe hold bring happen write provide sit stand lose pay meet include continue set learn
change lead understand watch follow stop create speak read allow add spend grow open walk win offer
remember love consider appear buy wait serve die send expect build stay fall cut reach kill remain
suggest raise pass sell require report decide pull return explain hope develop carry break receive
agree support hit produce eat cover catch draw choose cause point listen realise place close
involve increase fix clean cook bake boil fry wash dry drive ride fly swim climb jump throw kick
push drop pick hide search check test install download upload click type scroll press record edit
post share like subscribe comment stream join quit sign book cancel order deliver pack unpack ship
borrow lend save waste earn owe count measure weigh compare guess doubt forget forgive promise lie
cheat steal attack defend protect warn scare surprise worry hurt heal rest relax laugh smile cry
shout whisper sing dance paint draw teach study practise train improve prepare finish complete
solve repair replace remove delete copy paste print scan plug charge connect disconnect
""")

ADJECTIVES: Final = _words("""
good new first last long great little own other old right big high different small large next early
young important few public bad same able hot cold warm cool dry wet clean dirty full empty easy
hard soft loud quiet fast slow cheap expensive rich poor happy sad angry tired hungry thirsty sick
healthy strong weak safe dangerous busy free open closed dark bright heavy light sharp dull sweet
sour bitter salty spicy fresh rotten raw funny serious boring interesting strange weird normal
special common rare famous popular local foreign modern ancient simple complex clear smooth rough
flat round square straight crooked thick thin wide narrow deep shallow tall short near far late
ready careful careless honest polite rude kind cruel brave shy proud lazy clever stupid crazy lucky
amazing awesome terrible horrible beautiful ugly perfect broken missing available possible certain
sure wrong true false real fake whole half double single extra main final total red blue green
yellow black white brown purple pink grey wooden plastic golden electric digital online annual
""")

ADVERBS: Final = _words("""
up so out just now how then more also here well only very even back there down still in as too when
never really most on why about over away again always often usually sometimes rarely ever already
yet soon later early today tomorrow yesterday tonight together alone almost nearly quite rather
pretty enough probably maybe perhaps certainly definitely actually basically literally honestly
seriously obviously hopefully luckily sadly suddenly slowly quickly carefully easily hardly exactly
asap lol btw fyi tbh imo though anyway somehow somewhere everywhere instead indeed meanwhile
""")

PAST: Final = dict(
    pair.split("/")
    for pair in _words(
        """
be/was have/had do/did say/said go/went get/got make/made know/knew think/thought take/took see/saw
come/came find/found give/gave tell/told feel/felt become/became leave/left put/put mean/meant
keep/kept let/let begin/began show/showed hear/heard run/ran hold/held bring/brought write/wrote
sit/sat stand/stood lose/lost pay/paid meet/met set/set lead/led understand/understood speak/spoke
read/read spend/spent grow/grew win/won buy/bought send/sent build/built fall/fell cut/cut
sell/sold break/broke hit/hit eat/ate catch/caught draw/drew choose/chose fry/fried drive/drove
ride/rode fly/flew swim/swam throw/threw hurt/hurt forget/forgot forgive/forgave lie/lied
steal/stole sing/sang teach/taught quit/quit lend/lent try/tried study/studied carry/carried
worry/worried cry/cried fight/fought feed/fed freeze/froze hang/hung hide/hid shake/shook
shine/shone shoot/shot sink/sank slide/slid spill/spilt spin/spun split/split spread/spread
stick/stuck strike/struck swear/swore sweep/swept swing/swung tear/tore wear/wore weep/wept
bite/bit blow/blew bend/bent deal/dealt dig/dug shrink/shrank marry/married hurry/hurried
copy/copied reply/replied rely/relied deny/denied tie/tied stop/stopped drop/dropped plan/planned
grab/grabbed hug/hugged slip/slipped trip/tripped chat/chatted
"""
    )
)
"""Past tense of verbs that do not only take "ed"."""

ENDINGS: Final = (
    "ing", "ed", "s", "ness", "ly", "tion", "er", "ers", "able", "ful", "less", "ment", "ity",
    "ous", "ive", "al", "ish", "ism", "ist", "age", "ies", "y", "est", "ize", "ance", "ship",
    "hood", "ings",
)  # fmt: skip
"""Of ordinary words that the tagger has never met."""

STEMS: Final = (
    "br", "cl", "cr", "dr", "fl", "fr", "gl", "gr", "pl", "pr", "sc", "sl", "sm", "sp", "st",
    "str", "sw", "tr", "tw", "b", "c", "d", "f", "g", "h", "l", "m", "n", "p", "r", "s", "t",
    "w",
)  # fmt: skip

FILLERS: Final = ("uh", "um", "er", "like", "you know", "i mean", "well", "so", "okay", "right",
                  "hmm", "ah", "oh", "yeah", "actually", "basically")  # fmt: skip

AMBIGUOUS_SENTENCES: Final = _lines("""
i will do it tomorrow, may i come in, mark my words, the rose smells lovely, grace your table with
these flowers, the bill was too high, please pay the bill, hope is all we have, faith can move
mountains, joy to everyone, a jack and a plug, the frank answer is no, to be frank i did not like
it, pat the dog on the head, rob a bank, will you be there in may, march is a cold month, see you
in april, june and july were hot, august was dry, the summer of love, sunny days ahead, the dawn
was grey, the brook runs down the hill, ivy grows on the wall, a pearl necklace, amber lights mean
slow down, ruby is a programming language, crystal clear water, the guy with the hat, gene therapy,
dean of the faculty, an earl and a duke, the art of cooking, drew a picture, chase the ball, the
carpenter fixed it, a good baker bakes at night, the mason laid the bricks, the miller ground the
flour, the shepherd watched the sheep, the cook was hungry, a young man, the king was long dead,
brown bread, white wine, black coffee, green tea, a stone wall, wood burns well, the hill is steep,
a field of wheat, the price is right, a rich man, the little one, an apple a day, the swift ran
away, i love amazon forests, turkey for dinner, fine china on the table, a chilly day, the reading
room, a bath before bed, a nice day, polish the shoes, the cork was stuck, the orange was sour, the
paris agreement was signed, i was shopping all day, she is typing fast, that is just my opinion, in
my humble opinion it is fine, we went shopping for shoes, stop typing so loud, what is your opinion
on this, he keeps typing, the phone rang twice, my phone is broken, what is the number of people
here, give me a call later, let me call you back, the address of the speaker was long, she has a
good name, name three colours, i forgot my password again, change your password often, never share
your password with anyone, put in your pin and press enter, my email is not working, i sent an
email this morning, check your email please, where do you live, i live alone, i live with my
parents, we live in a flat, i was born for this, my birthday is soon, happy birthday to you, happy
birthday everyone, how old are you, i am from a small town, i work in an office, i work at night, i
work from home, what is your name, my name is on the list, i do not know her name, the name of the
game, i am happy, i am here, i am going home, i am so tired, i am a teacher, i am an engineer, i am
not sure, this is great, this is my dog, this is awesome, this is why we do it, call me later, call
me crazy, call me when you get there, hi everyone, hello everybody, hey guys, hey chat, thanks man,
thank you all, good morning everyone, welcome back to the channel, hit the like button, drop a
comment below, see you next time, do not forget to subscribe, let us get started, so what do you
think, ask not what your country can do for you, we choose to go to the moon, mister president, the
quick brown fox jumps over the lazy dog, once upon a time there was a princess, doctor please help
me, yes sir, no madam, officer i can explain, thank you doctor, hi mom, hey dad, okay google, the
captain of the team, our professor is strict, the princess arrived this morning, the judge said no,
the queen waved at us, the minister resigned, my aunt is here, uncle came by, turn left at the
traffic light, take the second street on the right, down the road past the bridge, the avenue was
full of trees, block the road, block the number, unit tests are important, the unit was broken,
level up your game, floor it, we are on the third floor, room for two, it costs twenty three
dollars, i have two dogs and three cats, ten people came, it is five o'clock, at seven thirty in
the evening, in nineteen eighty four, since two thousand and five, forty percent of them, about a
hundred people, a thousand times, three point one four, the score was two to one, one two three go,
five four three two one, first of all, for the third time, the twenty first century, page two
hundred and twelve, chapter six, version two point three, in two thousand twenty five, from nine to
five, half past ten, a quarter to six, twenty minutes ago, in ten seconds, i have to go to school,
pick up the kids from school, we go to church on sunday, he is at work, she is in hospital, i am at
home, back to school, late for work, from home, at university, go to bed, in town, at the pharmacy,
to the supermarket, straight to jail, off to college, in prison, in front of the school, at the
mall, in the park, at the gym,
""")

CITIES: Final = _lines("""
london, paris, berlin, madrid, rome, vienna, prague, warsaw, budapest, athens, lisbon, dublin,
oslo, stockholm, helsinki, copenhagen, amsterdam, brussels, zurich, geneva, munich, hamburg,
frankfurt, cologne, stuttgart, milan, naples, turin, florence, venice, barcelona, valencia,
seville, porto, lyon, marseille, nice, bordeaux, toulouse, manchester, liverpool, birmingham,
leeds, glasgow, edinburgh, cardiff, belfast, bristol, oxford, cambridge, new york, los angeles,
chicago, houston, phoenix, philadelphia, san antonio, san diego, dallas, austin, san jose, san
francisco, seattle, denver, boston, detroit, memphis, portland, las vegas, baltimore, milwaukee,
albuquerque, tucson, fresno, sacramento, kansas city, atlanta, omaha, miami, oakland, minneapolis,
tulsa, cleveland, new orleans, tampa, honolulu, pittsburgh, cincinnati, st louis, orlando, buffalo,
salt lake city, nashville, toronto, montreal, vancouver, calgary, ottawa, mexico city, guadalajara,
bogota, lima, santiago, buenos aires, sao paulo, rio de janeiro, caracas, quito, la paz, havana,
cairo, lagos, nairobi, accra, johannesburg, cape town, durban, casablanca, tunis, algiers, addis
ababa, istanbul, ankara, tel aviv, jerusalem, beirut, baghdad, tehran, dubai, abu dhabi, doha,
riyadh, jeddah, kuwait city, mumbai, delhi, new delhi, bangalore, chennai, kolkata, hyderabad,
pune, karachi, lahore, islamabad, dhaka, colombo, kathmandu, bangkok, chiang mai, hanoi, ho chi
minh city, phnom penh, kuala lumpur, penang, johor bahru, singapore, jakarta, bandung, surabaya,
bali, manila, cebu, hong kong, taipei, shanghai, beijing, shenzhen, guangzhou, chengdu, seoul,
busan, tokyo, osaka, kyoto, nagoya, sapporo, sydney, melbourne, brisbane, perth, adelaide,
canberra, auckland, wellington, moscow, saint petersburg, kyiv, odessa, minsk, riga, vilnius,
tallinn, bucharest, sofia, belgrade, zagreb, sarajevo, ljubljana, bratislava, reykjavik, tampines,
jurong east, woodlands, bedok, toa payoh, bukit timah, clementi, punggol, yishun, sengkang,
california, texas, florida, ohio, georgia, virginia, michigan, arizona, oregon, colorado, nevada,
bavaria, tuscany, catalonia, normandy, scotland, wales, cornwall, kent, ontario, quebec,
queensland, brooklyn, manhattan, queens, harlem, hollywood, soho, camden, europe, asia, africa,
south america, the united states, america, the uk, the netherlands, england, britain, great
britain, russia, korea,
""")

COMPANIES: Final = _lines("""
google, microsoft, apple, amazon, facebook, meta, netflix, tesla, twitter, spotify, uber, airbnb,
intel, nvidia, samsung, sony, nintendo, huawei, xiaomi, alibaba, tencent, baidu, toyota, honda,
nissan, ford, general motors, volkswagen, bmw, mercedes benz, audi, porsche, ferrari, siemens,
bosch, philips, nokia, ericsson, ikea, adidas, nike, puma, zara, walmart, costco, target,
starbucks, mcdonalds, burger king, subway, coca cola, pepsi, nestle, unilever, procter and gamble,
johnson and johnson, pfizer, novartis, roche, bayer, goldman sachs, morgan stanley, jp morgan,
citibank, hsbc, barclays, deutsche bank, credit suisse, dbs, ocbc, uob, singtel, grab, shopee,
lazada, singapore airlines, lufthansa, emirates, british airways, delta airlines, ryanair, boeing,
airbus, lockheed martin, nasa, general electric, ibm, oracle, sap, salesforce, adobe, cisco, dell,
hewlett packard, lenovo, paypal, visa, mastercard, american express, accenture, deloitte, kpmg,
mckinsey, the red cross, unicef, greenpeace, the united nations, the world bank, the fbi, harvard,
stanford university, mit, oxford university, vodafone, verizon, comcast, disney, warner brothers,
universal studios, fedex, dhl, ups, the washington post,
""")

COMPANY_TAILS: Final = _lines("""
bank, insurance, group, holdings, partners, consulting, systems, software, technologies, solutions,
industries, logistics, foods, pharmaceuticals, motors, energy, capital, media, labs, airlines,
university, college, high school, primary school, hospital, clinic, institute, foundation, church,
and sons, and company, incorporated, limited, corporation, services, studios, electronics,
analytics,
""")

ASIAN_FAMILY: Final = _words("""
tan lim lee ng wong chan chen goh ong koh chua teo ang yeo tay ho low toh sim chong chia fong
cheong loh yap lau kwok leung cheung lam tang yu wang li zhang liu yang huang zhao wu zhou xu sun
ma zhu hu guo he lin luo zheng liang xie kim park choi jung kang cho yoon jang nguyen tran pham
hoang phan vu dang bui
""")

ASIAN_GIVEN: Final = _words("""
wei ming hui ling jia hao jun jie xin yi mei li hua yan xiao hong kai wen zhi qiang ying siew kim
boon seng hock chuan teck huat swee leng poh soo cheng guan kiat yong hwee min soon eng kok keong
choon ji woo hye jin seung hyun minh anh thi van duc thanh linh huong tuan lan phuong bao yu chen
xuan
""")

SOUTH_NAMES: Final = _lines("""
muhammad bin abdullah, siti nurhaliza, ahmad bin ismail, nur aisyah, farid hassan, aminah binti
yusof, rajesh kumar, priya sharma, arun nair, lakshmi devi, deepak patel, sunita rao, vikram singh,
anil kapoor, meera krishnan, suresh menon, gurpreet kaur, ravi shankar, ananya iyer, sanjay gupta,
mohammed ali, fatima zahra, omar farouk, layla haddad, yusuf ibrahim, khadija el amrani, hassan
nasser, chinedu okafor, ngozi adichie, kwame mensah, amara diallo, thabo mbeki, zanele dlamini,
wanjiru kamau,
""")

ROADS: Final = _lines("""
ang mo kio, bukit batok, choa chu kang, jurong west, pasir ris, serangoon, hougang, bishan,
tampines, toa payoh, marine parade, orchard, holland, bukit timah, upper thomson, east coast,
geylang, lorong chuan, tiong bahru, telok blangah, dover, queensway, boon lay, simei, eunos, bedok
north, yishun, woodlands, maple, oak, pine, cedar, elm, washington, lincoln, jefferson, park, main,
church, high, station, victoria, king, queen, mill, green, north, south, west, east, lake, hill,
river, sunset, highland, forest, spring, cherry, chestnut, walnut, willow, dogwood, magnolia,
jackson, franklin, madison, monroe, adams, grant, baker, abbey, bond, oxford, regent, fleet,
albert, prince, george, castle, bridge, garden, meadow, orchard, first, second, third, fourth,
fifth, sixth, seventh, eighth, ninth, tenth, twelfth, twenty third, forty second,
""")

ROAD_KINDS: Final = _words("""
street road avenue lane drive court place boulevard way crescent close terrace square circle
parkway highway walk grove hill rise view garden trail alley row mews
""")

FOREIGN_ROADS: Final = _lines("""
rue de %s, rue du %s, avenue de %s, via %s, piazza %s, calle %s, calle de %s, avenida %s, rua %s,
rua da %s, jalan %s, lorong %s, %sstrasse, %sweg, %sgasse, %s allee, %splatz, %sstraat, %slaan,
%sgatan, %svagen, %svej, %sgade, %skatu, %stie, %s utca, ulica %s, %s ulitsa, nad %s, plaza %s,
paseo %s, carrer %s, corso %s, largo %s, travessa %s, %s tee, %s iela, prospekt %s,
""")

SECRETS: Final = _words("""
tiger sunshine dragon monkey blue purple orange horse battery staple correct winter summer shadow
flower pirate ninja rocket wizard banana coffee guitar silver hunter falcon phoenix thunder puppy
""")
