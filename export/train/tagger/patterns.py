# ruff: noqa: E501 - one pattern a line reads best
"""The patterns that sentences are composed of.

A pattern is text with [a|b] for alternatives (also empty, also nested), <part> for a part of
ordinary speech, and slots: {kind} for a private value, {zip} and {road} for parts of an address,
{date} for a date and {num12} for the number 12, which are not private.
"""

from __future__ import annotations

from typing import Final

NAME: Final = """
my [full |real |first |last |] name is {name}
[hi|hello|hey|good morning] [my name is|i'm|i am|this is] {name} [and i <vp>|nice to meet you|]
i'm {name} [from {place}|from {organisation}|and i <vp>|by the way|]
this is {name} [speaking|calling from {organisation}|here|and i <vp>]
[you can |please |just |everyone ] call me {name}
[i was talking|i spoke|we went] to {name} [yesterday|about <np>|last week|]
[my|his|her|our|their] <relation> {name} [is|was|<vs>|lives in {place}|works at {organisation}|said] [<adj>|<np>|]
[mister|missus|miss|ms|mr|mrs|doctor|dr|professor|captain|sir|uncle|auntie|president|judge|officer|coach] {name} [<vs> <np>|said it was <adj>|is here|will see you now]
{name} [and {name} |] [<vs>|is|was|has|will <v>|can <v>|said|told me|asked|wants to <v>|used to <v>|never <vs>] [<np>|<adj>|<adv>]
[have you seen|do you know|i saw|i met|ask|tell|call|thank|meet|invite|contact|i love|i hate|i miss] {name} [<adv>|in {place}|about <np>|]
[thanks|thank you|hey|hi|bye|sorry|please|come on|okay|well] {name} [<s>|]
<s> [with|for|by|from|like|after|before|without|near] {name}
{name}'s <n> [is|was|<vs>] [<adj>|<np>|in {place}]
the <n> [of|by|from|called|named] {name} [is <adj>|was <adj>|<vs> <np>|]
[book|song|movie|album|report|photo|story|email|letter] [written |] by {name} [and {name}|]
[who is|where is|what about|how is|when did|why did|what did] {name} [<v>|today|going|now|]
[the name is|name's|my name's|it's] {name} [<fill>|]
[i live with|i work with|i'm married to|i'm dating|i grew up with|she is engaged to] {name} [and <np>|in {place}|]
[could|can|may] i [speak|talk] to {name} [please|about <np>|]
[{name} {name} and {name}|{name} and {name}] [are|were|went to {place}|will <v> <np>|] [<adj>|]
don't [go|do|say|touch|worry|forget] [to <n>|it|<np>|] {name}
[order|account|booking|reservation|ticket|package] [under|for|in the name of] {name}
the [account holder|patient|customer|client|owner|author|winner|victim|suspect|new <n>] [is|was] {name}
[<vp> he said|<s> says|<s> according to|<s> said] {name}
that's {name} [over there|on the left|with the <n>|<fill>|]
[signed|regards|yours sincerely|best wishes|love] {name}
{name} [was born|grew up|lives|moved|died|studied|worked|is] in {place}
{name} [works|worked|studies|studied] [at|for] {organisation}
{name} [is|was|became] [a|the] [<adj> |] <n> [of {organisation}|at {organisation}|from {place}|]
{name} [forgot|gave|took|found|bought|broke|lost|won|saw|called|texted|left|came|went|got|made|told me|asked for] [<np>|<adv>|]
{name} is <ving> [<np>|<adv>|in the <n>|]
everybody [calls|called|knows|loves] him {name}
{name} who [<vs>|is|was] [<np>|<adj>] <vs> <np>
i'd like to [pay|send|transfer] [some money|<num> dollars|it] to {name}
[to|from|for|dear] {name} <fill> <s>
<s> [said|says|asked|replied|thought|shouted] {name} [to {name}|<adv>|]
[i am|i'm|we're|it is|that's] [so|very|too|really|not] <adj> [said|says|asked|replied] {name} [to {name}|]
{name} [is|was] a [huge|big|great|<adj>] {name} [fan|<n>]
a [new|great|<adj>|] [film|movie|show|series|play|song|album|novel|book|<n>] [directed|written|produced|recorded|composed|edited|sung] by {name} and [starring|featuring|presenting|introducing|involving] {name} [and {name}|]
[our|the|these|my] <num> <n> {name} {name} and {name} [<v> <np>|are <adj>|]
[the|our|a] [regular|famous|former|late|young|<adj>] <n> {name} <vs> [<np>|<adv>|that <s>]
[<vp>|<s>] [asap|as soon as possible|<adv>] my name is {name}
[here's|here is|this is|where is] {name}'s <n> [<fill>|and <n>|]
"""

PLACE: Final = """
i [live|work|study|stay|grew up|was born|am] in {place} [and <s>|with <np>|]
[i'm|i am|he is|she's|we are|my <relation> is] [originally |] from {place}
[we|they|i|my <relation>] [flew|went|moved|travelled|drove|are going] [to|from] {place} [<adv>|last <time>|next <time>|]
the [weather|food|people|traffic|<n>] in {place} [is|was] <adj>
<s> in {place} [<adv>|]
[have you been to|i love|i miss|welcome to|greetings from] {place}
{place} [is|was] [<adj>|a <adj> place|in {place}|near {place}|the capital of {place}]
[greetings|live|news|a <n>] from {place} [to {place}|]
the <n> [of|from] {place} [<vs> <np>|is <adj>|arrived]
[somewhere|anywhere] [near|around|outside] {place}
between {place} and {place} [there is <np>|<s>|]
[people|students|tourists|a man|a woman|a <n>] from {place} <vs> <np>
how [do|can] i get to {place} from {place}
what time is it in {place}
the [nearest|next|last] <n> is in {place}
"""

ORGANISATION: Final = """
i [work|worked|used to work|intern] [at|for|with] {organisation} [in {place}|as a <n>|and <s>|]
[my <relation>|he|she] [works|is a <n>] at {organisation}
{organisation} [announced|said|sued|bought|hired|fired|opened|launched|sells|makes|is|was] [<np>|<adj>|{organisation}]
[i bought|i got|i ordered] <np> [from|at] {organisation}
[i study|i graduated|my <relation> went|i applied] [at|from|to] {organisation}
the [ceo|boss|founder|owner|president|manager|director|stock price|website|app] of {organisation} [is|was] [<adj>|{name}]
[call|calling|email|contact] {organisation} [about <np>|<adv>|]
my [bank|insurance|employer|company|school|doctor|client] is {organisation}
[an account|a job|an interview|a contract|a meeting] [at|with] {organisation} [<adv>|]
{organisation} and {organisation} [are|will <v>|signed] <np>
[shares|stocks|products|employees|customers] of {organisation} [are|were] <adj>
have you heard of {organisation}
"""

ADDRESS: Final = """
[i|we|my <relation>|she|he|{name}] [live|lives|stay|stays|moved|used to live] [at|on|in|to] {address} [<fill>|and <s>|]
[my|our|his|her|the|their] [home |new |delivery |billing |shipping |work |old |] address is [now |] {address} [<fill>|]
[come|drop by|meet me|see you|pick me up|send it|deliver it|ship it|bring it|mail it] [to|at] {address} [<adv>|at <num>|]
[it's|the house is|we're|the office is|the party is|the shop is|the event is|located] [at|on] {address}
[the package|a letter|the parcel|the order|the taxi] [goes to|went to|is for|was sent to|should go to] {address}
{address} [is|was] [where i live|my address|our <adj> <n>|the <n>|too far|near the <n>]
[find us|visit us|visit our <n>|our <n> is] [at|on] {address} [or call {phone}|<adv>|]
{name} {address}
{name} [lives at|of|at|from] {address}
{organisation} {address}
[the corner of|next to|opposite|near|across from|just off] {address}
[what's|is there] [near|at|on] {address}
[my postcode is|postal code|my zip code is|the zip is|zip code] {zip}
address <fill> {address}
[turn|drive|walk|go|cycle] [into|down|along|up] {road} [until <np>|and <s>|]
the [accident|fire|crime|robbery|<n>] [was|is|happened] [at|on] {address}
"""

OTHERS: Final = """
my [username|user name|handle|gamer tag|account name|instagram|twitter|tiktok|snapchat|discord|telegram|twitch|channel|nickname] is {username} [<fill>|add me|]
[follow|add|find|message|dm|look up|subscribe to] me [on <site> |] [at|as|under|on] {username} [on <site>|]
i'm {username} on <site> [and <s>|]
[the user|user|login|log in as|signed in as|posted by|shout out to|thanks to] {username} [<fill>|<s>|]
i was born [on|in] {birthday} [in {place}|]
my [birthday|birth date|date of birth|b day|d o b|dob] is [on |] {birthday} [<fill>|]
[born|date of birth|birthday|d o b] [is |on |] {birthday}
[he|she|my <relation>|{name}] was born [on|in] {birthday} [in {place}|]
[i turn|i'm turning|she turned] <num> on {birthday}
my [phone |cell |mobile |office |home |telephone |] number is {phone} [<fill>|call me <adv>|]
[you can |please |just |] [reach|call|text|ring|contact|phone|whatsapp] [me|us|him|her|{name}] [at|on] {phone} [<adv>|]
[phone|call|tel|fax|mobile|whatsapp] {phone}
[the number|his number|her number|our number] is {phone}
[i tried|i called|try|dial] {phone} [but <s>|]
my [email|e mail|email address|mail] is {email} [<fill>|]
[send|write|email|forward] [it |them |us |me |the <n> |] [to|at] {email} [<adv>|]
[email|contact|reach] me at {email}
{email} is my [email|work email|address]
[go to|visit|check out|see|my website is|the site is|it's on|have a look at] {url} [for <np>|<adv>|]
{url} [is <adj>|is down|is my website]
my [passport|identity card|i c|social security|driving licence|driver's license|account|bank account|member|tax|tracking|order|employee|student|insurance|nric|iban] [number |] is {id} [<fill>|]
[the|your|his|her] [tracking|account|passport|policy|case|reference|licence|social security|iban] [number|code|id] [is|was] {id}
[transfer|send|pay] [it|<num> dollars|the money] to [account |iban |] {id}
[my|the] [i p|ip] address is {id}
my [credit |debit |visa |bank |] card [number |] is {card} [<fill>|]
[charge|use|put it on] [the |my |] [visa|card|mastercard|amex] {card} [<adv>|]
[credit card|card number] {card}
my [password|passcode|pin|pin code|security code|code|passphrase] is {secret} [<fill>|]
the [password|pin|wifi password|door code|passcode|login password|safe code|access code] is {secret} [<adv>|]
[password|pin] [is |] {secret}
[my car is|licence plate|plate number|number plate|my plate is|the plate was] {plate}
the car with [plate|number|plates] {plate} [<fill>|]
"""

ORDINARY: Final = """
<s>
<s> [and|but|because|so|when|while|if|although|unless|before|after|since] <s>
<fill> <s>
[i think|i guess|i know|i hope|i'm sure|they say|he said|she told me|we all know|it seems|maybe] [that |] <s>
[do|does|did|can|could|should|would|will|have|has] [you|he|she|they|we|the <n>|anyone|your <relation>] <v> [<np>|<adv>|to the <n>]
[what|how|why|when|where] [do|did|can|should|would] [you|we|they|i] <v> [<np>|<adv>|]
[let's|please|don't|never|always|just|try to|you have to|you need to] <v> [<np>|<adv>|the <n> <adv>]
[there is|there are|there was|here is|that's|this is|it's|it was] [<np>|<adj>|<adv> <adj>]
the <n> [of|in|on|with|for|at|from] the <n> [is|was] [<adj>|<adv> <adj>]
it [costs|takes|is|was] [about |around |] <num> [dollars|minutes|euros|percent|people|kilometres|pounds|years old|hours]
[i have|we need|there are|he ate|she bought] <num> <n>
[in|since|before|until] <year> [<s>|]
[at|around|by] <num> [thirty|fifteen|o'clock|p m|a m|] [we|they|i] <v> [<np>|]
[on|by|last|next|every|this] [monday|tuesday|wednesday|thursday|friday|saturday|sunday|weekend|morning] <s>
the [first|second|third|last|next] <n> [is|was|will be] <adj>
[<n>|<adj> <n>|<np>] [or|and|versus|not] [<n>|<adj> <n>|<np>]
[chapter|page|level|room|version|number|episode|season|step|line|question] <num> [is <adj>|of the <n>|]
as [a|the] <n> i [<v>|would <v>|never <v>] <np>
[thanks|thank you] for [watching|listening|coming|the <n>|your <n>]
he is a <job>
[my <relation>|she|he] [is|was|became|works as] a <job> [and <s>|]
the meeting is on <date> [<adv>|at <num>|]
[on|by|until|since] <date> <s>
my <n> [is|was] [<adj>|<adv> <adj>|<np>|in the <n>]
[my|the] [number|name|address|password|email|phone|birthday|card|account|username|code] [is|was] [not |very |too |really |] <adj>
[the|a|one of the most <adj>] <n> on the <n>
<n> <n> <n>
[i speak|he learns|do you understand|we teach|translated into|in] <nation> [and <nation>|<adv>|]
[the|a|my|our|some] <nation> [<n>|food|people|restaurant|president|government|language] [is|was|<vs>] [<adj>|<np>|]
he is <nation> and she is [half |] <nation>
[i am|i'm|we're|it is|that's] [so|very|too|really|not] <adj> [said|says|asked|replied] [she|he|the <n>|my <relation>|they]
[<adj>|<np>|<n>] [must|can|should|may|will] [not |] <v> [<np>|<adv>|on the <n>]
[<n>|<adj> <n>|<n> <n>] [is|are|was|were] <adj> [in|on|for|with|by] [<n>|<adj> <n>|the <n>]
[is it|are they|do they serve|do you have|we sell|i like|she makes] [<n>|<adj> <n>] [<n>|]
<sentence>
<sentence>
<sentence>
<definition>
<definition>
<prose>
<prose>
<prose>
<prose>
"""
