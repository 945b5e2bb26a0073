"""Compares when expressions fire with cronsim, the implementation behind Healthchecks.io, on seeded random expressions.

Asked of both: expressions of 5 and 6 fields that both read, in UTC and in zones, the next fires after a random moment of
1971 to 2035, in zones often soon before clocks are moved. cronsim follows Debian's cron there, as the defaults here do: what
is left out is made up after the gap, what is shown twice fires the first time. Its rules differ from ours in two points:

- it goes by time that passes when the field of minutes or of hours begins with "*", and for each expression of 6 fields; we do
  when every hour is named, and only then. What only one of us takes so is asked in UTC;
- going by time that passes, it slips where clocks are not moved by a whole hour at a whole hour. Expressions of every hour are
  asked in zones where they are.

It gives up after 50 years, so years are none of its fields, and it knows no "L-3" and no "15W": the model of the unit tests
covers these.

    compare.py --fires target/debug/examples/fires [--seed 1] [--count 20000]
"""

import argparse
import random
import subprocess
import sys
import zoneinfo
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import cronsim
import tzdata

# The zone data of the package, and not those of the machine.
zoneinfo.reset_tzpath(to=[])

FIRES = 12
SHOWN = 20
RANGES = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
NAMES = {
    4: "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(),
    5: "SUN MON TUE WED THU FRI SAT".split(),
}
ZONES = """Europe/Berlin America/New_York Australia/Sydney America/Sao_Paulo Asia/Kolkata Asia/Tokyo Africa/Casablanca
Europe/London America/St_Johns Pacific/Auckland Asia/Tehran America/Santiago Africa/Cairo Asia/Kathmandu""".split()
ODD_ZONES = ["Australia/Lord_Howe", "Pacific/Apia", "Antarctica/Troll", "Pacific/Chatham"]
WHOLE_HOURS = ["Europe/Berlin", "America/New_York", "Australia/Sydney", "Pacific/Auckland", "Europe/London"]


def value(rng, field):
    low, high = RANGES[field]
    number = rng.randint(low, high)
    names = NAMES.get(field)
    if names and rng.random() < 0.3 and number - low < len(names):
        return names[number - low], number
    return str(number), number


def item(rng, field):
    low, high = RANGES[field]
    kind = rng.random()
    if field == 3 and kind < 0.06:
        return rng.choice(["L", "LW"])
    if field == 5 and kind < 0.06:
        return f"{rng.randint(0, 7)}L"
    if field == 5 and kind < 0.12:
        return f"{rng.choice(NAMES[5])}#{rng.randint(1, 5)}"
    if kind < 0.7:
        return value(rng, field)[0]
    (a, first), (b, last) = value(rng, field), value(rng, field)
    if first > last:
        a, b = b, a
    text = f"{a}-{b}"
    # cronsim takes "5-5/10" for "5/10".
    if kind > 0.85 and first != last:
        text += f"/{rng.randint(1, high - low)}"
    return text


def field_text(rng, field, free):
    """A field, that is "*" with the chance `free`."""
    low, high = RANGES[field]
    kind = rng.random()
    if kind < free:
        return "*"
    if kind < free + 0.12:
        # A week has seven days; that it begins and ends with a Sunday is a matter of taste when it is counted through.
        return f"*/{rng.randint(1, 6 if field == 5 else high - low)}"
    if kind < free + 0.17 and field != 5:
        return f"{rng.randint(low, high)}/{rng.randint(1, high - low)}"
    return ",".join(item(rng, field) for _ in range(rng.randint(1, 3)))


def question(rng):
    seconds = [field_text(rng, 0, 0.2)] if rng.random() < 0.25 else []
    fields = [field_text(rng, field, free) for field, free in ((1, 0.15), (2, 0.25), (3, 0.6), (4, 0.6), (5, 0.6))]
    if rng.random() < 0.15:
        fields[1] = "*"
    zone = zone_for(rng, seconds, *fields[:2])
    return " ".join(seconds + fields), zone, moment(rng, zone)


def moment(rng, name):
    """A random moment; in zones as likely as not soon before the clock is moved."""
    at = rng.randint(31_536_000, 2_051_222_400)
    if name == "UTC":
        return at
    zone = ZoneInfo(name)
    days = range(at, at + 400 * 86_400, 86_400) if rng.random() < 0.5 else ()
    for day in days:
        if datetime.fromtimestamp(day, zone).utcoffset() != datetime.fromtimestamp(day + 86_400, zone).utcoffset():
            return day - rng.randint(3, 40) * 3600
    # What the clock shows a second time cronsim takes for the first.
    return at - 2 * 86_400 if datetime.fromtimestamp(at, zone).fold else at


def names_every_hour(hours):
    named = set()
    for text in hours.split(","):
        span, _, step = text.partition("/")
        first, _, last = ("0-23" if span == "*" else span).partition("-")
        named.update(range(int(first), int(last or (23 if step else first)) + 1, int(step or 1)))
    return len(named) == 24


def zone_for(rng, seconds, minutes, hours):
    if rng.random() < 0.3:
        return "UTC"
    if hours == "*":
        return rng.choice(WHOLE_HOURS)
    if seconds or names_every_hour(hours) or minutes.startswith("*") or hours.startswith("*"):
        return "UTC"
    return rng.choice(ZONES + ODD_ZONES)


def expected(expression, zone, after):
    """The fires by cronsim, or none when it does not read the expression."""
    start = datetime.fromtimestamp(after, timezone.utc)
    if zone != "UTC":
        start = start.astimezone(ZoneInfo(zone))
    try:
        fires = cronsim.CronSim(expression, start)
    except cronsim.CronSimError:
        return None
    times = []
    for fire in fires:
        times.append(int(fire.timestamp()))
        if len(times) == FIRES:
            break
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fires", required=True, help="the example that answers for us")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=20_000)
    args = parser.parse_args()

    version = subprocess.run([args.fires, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if version != tzdata.IANA_VERSION:
        sys.exit(f"our time zone data are {version}, those of Python {tzdata.IANA_VERSION}: pin the package that has the same")

    rng = random.Random(args.seed)
    questions = [question(rng) for _ in range(args.count)]
    lines = "".join(f"{expression}\t{zone}\t{after}\t{FIRES}\n" for expression, zone, after in questions)
    answers = subprocess.run([args.fires], input=lines, capture_output=True, text=True, check=True).stdout.splitlines()
    if len(answers) != len(questions):
        sys.exit(f"{len(questions)} questions had {len(answers)} answers")

    differences, unread, local = [], 0, 0
    for (expression, zone, after), answer in zip(questions, answers):
        theirs = expected(expression, zone, after)
        if theirs is None:
            # It refuses some that can never fire; anything else that it does not read is one that should not be asked.
            unread += 1
            if answer:
                differences.append((expression, zone, after, answer, "not read"))
            continue
        local += zone != "UTC"
        ours = answer if answer.startswith("error") else [int(second) for second in answer.split()]
        if len(theirs) < FIRES and not isinstance(ours, str):
            # It gave up looking; what it found before must be the same.
            ours = ours[: len(theirs)]
        if ours != theirs:
            differences.append((expression, zone, after, answer, theirs))

    for expression, zone, after, ours, theirs in differences[:SHOWN]:
        print(f"{expression!r} in {zone} after {after}:\n  ours   {ours}\n  theirs {theirs}")
    print(
        f"seed {args.seed}: {len(questions)} expressions, {local} of them in zones other than UTC (data {tzdata.IANA_VERSION}), "
        f"{unread} not read by cronsim, {len(differences)} differ"
    )
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
