"""What benches/compare has measured, as Markdown: the targets, all figures, and the short form of the README."""
import re
import statistics

# All ratios refer to it, unless a row says otherwise.
YARDSTICK = "mosquitto"
TITLES = {
    "opifex-2": "this, 2 workers",
    "opifex-1": "this, 1 worker",
    "mosquitto": "mosquitto",
    "nats": "NATS",
    "rumqttd": "rumqttd",
    "aedes": "aedes",
}
ELSEWHERE = ["FlashMQ, measured elsewhere, 2026-11-22", "mosquitto 2.1, measured elsewhere, 2026-11-22"]
SWITCHES, GENERATOR = "server_context_switches_per_message", "generator_cpu_percent"
# A generator that takes so much of its processor is what limits the rate.
BUSY_PERCENT = 90


def is_ours(broker):
    return broker.startswith("opifex")


class Row:
    """A line of the table: a figure of a scenario's report, as a ratio to another broker's in the same round or, where it has a
    unit, as it is. `target`: the most it may be; of one worker `target_1`, if that is another. `to`: another scenario that is
    1, whose (a broker's, or its own: "itself"), and what that is called. `elsewhere`: the same of FlashMQ and of mosquitto 2.1, measured
    on another day."""

    def __init__(
        self, title, target=None, figure="server_cpu_us_per_message", unit=None, target_1=None, to=None, elsewhere=(None, None), short=False
    ):
        self.title, self.figure, self.unit, self.elsewhere, self.short = title, figure, unit, elsewhere, short
        self.targets = {"opifex-2": target, "opifex-1": target_1 or target}
        self.to_scenario, self.to_broker, self.to_name = to or (None, YARDSTICK, None)

    def target(self):
        two, one = (f"≤ {target:,} {self.unit or ''}".strip() for target in self.targets.values()) if self.targets["opifex-1"] else ("", "")
        return two if one == two else f"{two}; 1 worker {one}"


def figure(report, path):
    for name in path.split("."):
        report = report.get(name) if isinstance(report, dict) else None
    return report


def number(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def spread(values, unit=""):
    """Median and, of several rounds, the lowest, the highest and how many they are."""
    text = number(statistics.median(values)) + unit
    return text if len(values) == 1 else f"{text} ({number(min(values))}..{number(max(values))}; {len(values)})"


def verdict(values, target):
    """Whether a target is met: not if it lies between what was measured."""
    if target is None or not values:
        return ""
    if min(values) <= target < max(values):
        return " undecided"
    return " **met**" if max(values) <= target else " **missed**"


class Results:
    """All that was measured, of one run of the script or of several."""

    def __init__(self, lines, scenarios):
        self.scenarios = scenarios
        self.runs = [line for line in lines if "scenario" in line]
        self.sessions = [line for line in lines if "versions" in line]
        self.versions = {}
        for session in self.sessions:
            for name, version in session["versions"].items():
                self.versions.setdefault(name, []).append(version)
        names = sorted(self.versions, key=lambda name: list(TITLES).index(name) if name in TITLES else len(TITLES))
        self.brokers = [name for name in names if any(run["broker"] == name for run in self.runs)]

    def values(self, scenario, broker, path):
        """Of each round."""
        of_broker = (run for run in self.runs if (run["scenario"], run["broker"]) == (scenario, broker))
        values = {(run["session"], run["round"]): figure(run["report"], path) for run in of_broker}
        return {key: value for key, value in values.items() if value is not None}

    def of_row(self, scenario, row, broker):
        """What a cell is made of: figures, or ratios of the same rounds."""
        values = self.values(scenario, broker, row.figure)
        if row.unit:
            return list(values.values())
        against = self.values(row.to_scenario or scenario, broker if row.to_broker == "itself" else row.to_broker, row.figure)
        if not against:
            return []
        # What was measured alone is held against all rounds of the other.
        median = statistics.median(against.values())
        return [value / against.get(key, median) for key, value in values.items()]

    def cell(self, scenario, row, broker):
        plain = list(self.values(scenario, broker, row.figure).values())
        ratios = self.of_row(scenario, row, broker)
        if not plain:
            tried = any((run["scenario"], run["broker"]) == (scenario, broker) for run in self.runs)
            return "no result" if tried else "-"
        is_one = broker == row.to_broker and row.to_scenario is None
        if row.unit or is_one or not ratios:
            return spread(plain, f" {row.unit or 'µs'}") + (verdict(plain, row.targets.get(broker)) if row.unit else "")
        return f"×{spread(ratios)}{verdict(ratios, row.targets.get(broker))}"

    def wrongs(self, only=lambda _: True):
        """What was lost, doubled, disordered or not to be measured, a line for each broker and scenario."""
        for scenario in self.scenarios:
            for broker in filter(only, self.brokers):
                of_both = [run["report"] for run in self.runs if (run["scenario"], run["broker"]) == (scenario, broker)]
                failures = [report["failure"] for report in of_both if "failure" in report]
                if failures:
                    what = re.sub(r"\s+", " ", failures[-1])[:200]
                    often = f" ({len(failures)} of {len(of_both)} rounds)" if len(of_both) > 1 else ""
                    yield f"{TITLES.get(broker, broker)}, {scenario}: {what}{often}"

    def rows(self):
        for scenario, described in self.scenarios.items():
            if any(run["scenario"] == scenario for run in self.runs):
                for row in described.rows:
                    yield scenario, row

    def about(self):
        """Where and when, and of what."""
        others = [run["others_percent"] for run in self.runs]
        dates = sorted({session["date"] for session in self.sessions})
        yield (
            f"{', '.join(dates)}; {self.sessions[-1]['machine']}; other programs took {statistics.median(others):.0f} % of a processor"
            f" meanwhile (median; at most {max(others):.0f} %)."
        )
        yield ""
        for name in self.brokers:
            yield f"- {TITLES.get(name, name)}: {'; '.join(dict.fromkeys(self.versions[name]))}"
        yield ""

    def targets(self):
        """The table of ratios."""
        titles = [TITLES.get(name, name) for name in self.brokers]
        yield f"| scenario | target | {' | '.join([*titles, *ELSEWHERE])} |"
        yield "| --- |" + " ---: |" * (len(titles) + 3)
        for scenario, row in self.rows():
            others = [other or "" for other in row.elsewhere]
            cells = [self.cell(scenario, row, broker) for broker in self.brokers]
            one = f"; {row.to_name} = 1" if row.to_name else ""
            yield f"| {row.title}{one} | {row.target()} | {' | '.join([*cells, *others])} |"

    def figures(self):
        """The table of processor time, and of what two workers have to do with each other."""
        titles = [f"{TITLES.get(name, name)}" for name in self.brokers]
        yield f"| µs of a processor for a delivery | {' | '.join(titles)} | context switches, 2 workers | deliveries a second, 1 worker |"
        yield "| --- |" + " ---: |" * (len(titles) + 2)
        for scenario, row in self.rows():
            if row.unit or row.figure.startswith("delivery_us"):
                continue
            values = [list(self.values(scenario, broker, row.figure).values()) for broker in self.brokers]
            cells = [spread(of_broker) if of_broker else "" for of_broker in values]
            is_first = row is self.scenarios[scenario].rows[0]
            switches = list(self.values(scenario, "opifex-2", SWITCHES).values()) if is_first else []
            is_fast = is_first and self.scenarios[scenario].is_closed_loop
            rates = [rate for rate in self.values(scenario, "opifex-1", self.scenarios[scenario].rate).values() if is_fast]
            busy = any(percent > BUSY_PERCENT for percent in self.values(scenario, "opifex-1", GENERATOR).values())
            rate = ("≥ " if busy else "") + f"{statistics.median(rates):,.0f}" if rates else ""
            yield f"| {row.title} | {' | '.join(cells)} | {spread(switches) if switches else ''} | {rate} |"

    def page(self):
        """All of it, for docs/performance.md."""
        lines = [*self.about(), *self.targets(), "", *self.figures(), ""]
        ours = [f"- {wrong}" for wrong in self.wrongs(is_ours)]
        others = [f"- {wrong}" for wrong in self.wrongs(lambda broker: not is_ours(broker))]
        lines += ["This broker was wrong:", "", *ours] if ours else ["Nothing was lost, doubled or disordered by this broker, at QoS 0 neither."]
        lines += ["", "The others:", "", *others] if others else ["Neither by the others."]
        return "\n".join(lines)

    def short(self):
        """For the README: medians alone."""
        titles = [TITLES.get(name, name) for name in self.brokers]
        yield f"| processor time for a delivery, mosquitto = 1 | {' | '.join([*titles, 'FlashMQ, elsewhere'])} |"
        yield "| --- |" + " ---: |" * (len(titles) + 1)
        for scenario, row in self.rows():
            if row.short:
                medians = [self.of_row(scenario, row, broker) for broker in self.brokers]
                unit = f" {row.unit}" if row.unit else ""
                cells = [number(statistics.median(values)) + unit if values else "" for values in medians]
                yield f"| {row.title} | {' | '.join([*cells, (row.elsewhere[0] or '').lstrip('×')])} |"


def write(page, begin, end, lines):
    """Puts lines between two marks of a page."""
    before, begin, rest = page.read_text().partition(begin)
    _, end, after = rest.partition(end)
    if not end:
        raise SystemExit(f"{page} has no place for the table")
    page.write_text(f"{before}{begin}\n\n{lines.strip()}\n\n{end}{after}")
