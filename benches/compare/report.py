"""Tables of samples, the ratios inside them, and what the bars say; as markdown and as JSON.

Samples of one round were taken right after each other, so a ratio is the median of the ratios of
the rounds: the machine's slow drift cancels out.
"""

import json
from dataclasses import asdict, dataclass, field
from statistics import median

from servers import CEILING, PEERS, SUBJECT

BEST_PEER = "best peer"


@dataclass
class Metric:
    key: str
    label: str
    digits: int = 1
    more_is_better: bool = False


@dataclass
class Bar:
    """`metric` of the subject against `base`: the best peer, the ceiling, or another metric of itself."""
    metric: str
    limit: float
    base: str = BEST_PEER
    at_least: bool = False


@dataclass
class Table:
    title: str
    metrics: list
    bars: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    samples: dict = field(default_factory=dict)

    def add(self, server, values):
        """One round's values by metric key."""
        row = self.samples.setdefault(server, {})
        for key, value in values.items():
            row.setdefault(key, []).append(value)

    def middle(self, server, key):
        return median(self.samples[server][key])

    def metric(self, key):
        return next(metric for metric in self.metrics if metric.key == key)

    def best_peer(self, key):
        peers = [peer for peer in PEERS if peer in self.samples]
        choose = max if self.metric(key).more_is_better else min
        return choose(peers, key=lambda peer: self.middle(peer, key), default=None)

    def ratio(self, server, bar):
        """(what it is compared with, median ratio), or None when that was not measured."""
        if bar.base in (BEST_PEER, CEILING):
            other = self.best_peer(bar.metric) if bar.base == BEST_PEER else CEILING
            if other not in self.samples:
                return None
            name, base = other, self.samples[other][bar.metric]
        else:
            name, base = self.metric(bar.base).label, self.samples[server][bar.base]
        return name, median(own / its for own, its in zip(self.samples[server][bar.metric], base))

    def verdicts(self):
        for bar in self.bars:
            wanted = f"{self.metric(bar.metric).label} {'>=' if bar.at_least else '<='} {bar.limit} of "
            found = SUBJECT in self.samples and self.ratio(SUBJECT, bar)
            if not found:
                yield {"bar": f"{wanted}{bar.base}", "ratio": None, "holds": None}
                continue
            name, ratio = found
            holds = ratio >= bar.limit if bar.at_least else ratio <= bar.limit
            label = bar.base if bar.base == name else f"{bar.base} ({name})" if bar.base == BEST_PEER else name
            yield {"bar": f"{wanted}{label}", "ratio": ratio, "holds": holds}

    def markdown(self):
        heads = [metric.label for metric in self.metrics]
        heads += [f"{self.metric(bar.metric).label} / {self.base_label(bar)}" for bar in self.bars]
        lines = [f"## {self.title}", "", f"| server | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
        for server in self.samples:
            cells = [f"{self.middle(server, metric.key):,.{metric.digits}f}" for metric in self.metrics]
            for bar in self.bars:
                found = self.ratio(server, bar)
                cells.append(f"{found[1]:.2f}" if found else "–")
            lines.append(f"| {server} | {' | '.join(cells)} |")
        lines.append("")
        for verdict in self.verdicts():
            outcome = "not measured" if verdict["ratio"] is None else \
                f"{verdict['ratio']:.2f}, {'holds' if verdict['holds'] else 'MISSED'}"
            lines.append(f"- {verdict['bar']}: {outcome}")
        lines += [f"- {note}" for note in self.notes]
        return "\n".join(lines) + "\n"

    def base_label(self, bar):
        return bar.base if bar.base in (BEST_PEER, CEILING) else self.metric(bar.base).label

    def plain(self):
        """For JSON: everything measured and what follows from it."""
        return {**asdict(self), "verdicts": list(self.verdicts())}


def write(directory, about, tables):
    """Writes report.md and results.json, anew after each case, so that a broken run leaves something."""
    lines = ["# Comparison", ""] + [f"- {key}: {value}" for key, value in about.items()]
    text = "\n".join(lines) + "\n\n" + "\n".join(table.markdown() for table in tables)
    (directory / "report.md").write_text(text)
    results = {"about": about, "tables": [table.plain() for table in tables]}
    (directory / "results.json").write_text(json.dumps(results, indent=1) + "\n")
