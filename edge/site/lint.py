"""
Rules that are right, and still not what somebody wanted.

Here: warnings about one document, beside the files that it would decide over. Not here: mistakes
of one rule alone (`rule`), and which rules cover which (`coverage`). Laws: pure; every lint asks
the plan and the look-up that live traffic asks, so what a warning says happens; each has a bound,
behind which it says nothing rather than take long.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Final

from edge.errors import ConfigError, MalformedRequest
from edge.http.target import encode_path
from edge.site.coverage import find_covered
from edge.site.expressions import LONG, PatternTooSlow, is_slow
from edge.site.lookup import find_page
from edge.site.loops import CUT, WORK, Scene, Trial, Url, find_loops
from edge.site.manifest import Asset, Entry, Header, Manifest
from edge.site.pattern import Domain, Expression
from edge.site.plan import CompiledRule, Forward, Rewrite, compile_plan
from edge.site.reading import MAX_MISTAKES
from edge.site.rule import REDIRECTS, Rule
from edge.site.subject import Subject

FILES: Final = 20_000
"""Files that are asked for, of one deployment."""

PROBED: Final = 100
"""Regular expressions probed for long paths: up to 20 ms each."""

CROWD: Final = 1_000
"""Patterns of one folder that are still tried in a moment: 0.5 ms, as regular expressions 3."""

NOT_FOUND: Final = ("404", "404-200")
"""Statuses whose rules answer, but not what a redirect was meant to lead to."""

NOWHERE: Final = Header(id="", app="", branch="", label="", created=0.0)

Finding = tuple[int, str, str, str]
"""The number of a rule, the key that it is about, problem and remedy."""


def lint_rules(
    rules: Sequence[Rule],
    file: str,
    files: Collection[str] | None,
    hosts: Collection[str] = (),
    trailing_slash: str = "auto",
) -> list[ConfigError]:
    """
    Warnings about rules that are right and still not what somebody wanted, as the file has them.

    `files` are the paths of the tree that they would decide over, None where there is none yet;
    `hosts` all canonical hosts of the app. `MAX_MISTAKES` at most.
    """
    manifest = None if files is None else manifest_of(files)
    lint = Lint(Scene(compile_plan(rules), manifest, frozenset(hosts), trailing_slash))
    findings: list[Finding] = []
    for each in LINTS:
        findings += islice(each(lint), MAX_MISTAKES)
    findings.sort(key=lambda finding: finding[0])
    return [note(rules, file, each) for each in findings[:MAX_MISTAKES]]


def note(rules: Sequence[Rule], file: str, finding: Finding) -> ConfigError:
    """A finding at the place of its rule."""
    number, key, problem, remedy = finding
    rule = rules[number]
    return ConfigError(file, rule.line, rule.column, f"[{number}].{key}: {problem}", remedy)


class Lint:
    """The lints of one document, each giving its findings."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.plan = scene.plan
        self.manifest = scene.manifest
        self.left = WORK
        """Rules that `has_rule` may still try; then it takes the answer for granted."""

    # Rules that never match

    def covered(self) -> Iterator[Finding]:
        """Rules that an earlier one leaves nothing."""
        rules = self.plan.rules
        for number, other in find_covered(self.plan):
            one, before = rules[number].written, rules[other].written
            place = f"rule [{other}] on line {before.line}"
            problem = f"the rule never matches: {place} takes everything that it could"
            is_same = (one.source, one.condition) == (before.source, before.condition)
            remedy = "remove one of the two" if is_same else "move it above that rule, or remove it"
            yield number, "source", problem, remedy

    def strangers(self) -> Iterator[Finding]:
        """Rules of a domain that does not lead to this app."""
        for rule in self.scene.rules if self.scene.hosts else ():
            domain = rule.source.path
            if isinstance(domain, Domain) and domain.host not in self.scene.hosts:
                problem = f"the rule never matches: {domain.host} does not lead to this app"
                yield rule.number, "source", problem, "add it to domains in app.yml"

    # Redirects that lead back

    def loops(self) -> Iterator[Finding]:
        """Redirects that a browser gives up on, each loop once, at its first rule."""
        for circle in find_loops(self.scene):
            problem = "the redirects never end"
            if circle.is_round:
                problem = "the redirects go round in a circle"
            remedy = "let one of them lead elsewhere, or mean less"
            if None in circle.rules:
                remedy = "the tree redirects as well: remove the rule, or set trailing_slash"
            yield circle.first, "target", f"{problem}: {circle}", remedy

    # Rules of status 200 in front of files

    def hiding(self) -> Iterator[Finding]:
        """Rules of status 200 that answer for files, other than by the same file."""
        if self.manifest is None or not any(is_rewrite(rule) for rule in self.scene.rules):
            return
        trial = Trial(self.plan)
        hidden: dict[int, list[str]] = {}
        for name in sorted(self.manifest.files)[:FILES]:
            number = None if trial.left <= 0 else self.find_hiding(name, trial)
            if number is not None:
                hidden.setdefault(number, []).append(name)
        for number, names in hidden.items():
            some = " and ".join(f"/{name[:CUT]}" for name in names[:2])
            what = some if len(names) < 3 else f"{len(names)} files, such as {some}"
            problem = f"the rule hides what the deployment has: {what}"
            yield number, "source", problem, "write the status fallback: files come before it"

    def find_hiding(self, name: str, trial: Trial) -> int | None:
        """The number of the rule that answers for a file, at any of its addresses."""
        for path in addresses(name):
            if not is_file(self.scene.find_file(path), name):
                continue
            try:
                decision = trial.decide(self.scene.subject(("", encode_path(path), None)))
            except MalformedRequest:
                continue
            if isinstance(decision, Forward):
                return decision.rule
            if isinstance(decision, Rewrite) and not is_file(self.find_page(decision.path), name):
                return decision.rule
        return None

    def find_page(self, path: str) -> Asset | None:
        """The file that a target names."""
        return None if self.manifest is None else find_page(self.manifest, path)

    # Targets that do not exist

    def dangling(self) -> Iterator[Finding]:
        """Rules whose target is one path of this site that nothing answers."""
        if self.manifest is None:
            return
        for rule in self.scene.rules:
            path = rule.targets[0].fixed_path if rule.targets else None
            if path is None or self.is_answered(rule, path):
                continue
            problem = f"the target {path[:CUT]} does not exist in the deployment"
            remedy = "deploy it, or correct the target"
            if self.find_page(f"{path}/") is not None:
                remedy = f"write {path[:CUT]}/"
            yield rule.number, "target", problem, remedy

    def is_answered(self, rule: CompiledRule, path: str) -> bool:
        """
        Whether a file is at the target, or where a redirect leads there, a rule means it.

        The content of another path is a file's: rules are not run again, nor is there a redirect.
        """
        if rule.written.status not in REDIRECTS:
            return self.find_page(path) is not None
        if self.scene.find_file(path) is not None:
            return True
        return any(self.has_rule(url) for url in self.scene.destinations(rule))

    def has_rule(self, url: Url) -> bool:
        """Whether a rule means it, for clients of some country, and answers no 404."""
        if self.left <= 0:
            return True
        subject = self.scene.subject(url)
        numbers = [*self.plan.early.candidates(subject), *self.plan.late.candidates(subject)]
        self.left -= len(numbers)
        rules = (self.plan.rules[number] for number in numbers)
        return any(means(each, subject) for each in rules if each.written.status not in NOT_FOUND)

    # Regular expressions

    def slow(self) -> Iterator[Finding]:
        """Regular expressions that long paths keep busy, each text once."""
        searches: dict[str, tuple[int, Expression]] = {}
        for rule in self.scene.rules:
            if isinstance(rule.source.path, Expression):
                text = rule.source.path.pattern.pattern
                searches.setdefault(text, (rule.number, rule.source.path))
        for number, path in islice(searches.values(), PROBED):
            reason = is_slow(path.pattern, LONG)
            if reason:
                problem = f"the regular expression is slow on long paths: {reason}"
                yield (
                    number,
                    "source",
                    problem,
                    "such requests get 503: let it fail sooner, or split it",
                )

    # Too many of them

    def crowded(self) -> Iterator[Finding]:
        """Folders where each request has to be compared with very many patterns."""
        for index in (self.plan.early, self.plan.late):
            for folder, group in index.folders.items():
                if len(group.rest) > CROWD:
                    every = f"{len(group.rest)} patterns are compared with every path in {folder}"
                    remedy = "begin them with a folder, or make one of several: time is bounded"
                    yield group.rest[CROWD], "source", every, remedy


LINTS: Final = (
    Lint.covered, Lint.strangers, Lint.loops, Lint.hiding, Lint.dangling, Lint.slow, Lint.crowded,
)  # fmt: skip


def manifest_of(files: Collection[str]) -> Manifest:
    """A manifest of files about which nothing but their paths is known."""
    manifest = Manifest(NOWHERE)
    manifest.add(Entry(path, "", 0, "", {}) for path in files)
    return manifest


def addresses(name: str) -> list[str]:
    """The paths that may lead to a file; a 404 page is there for other paths than its own."""
    path = f"/{name}"
    folder, _, last = path.rpartition("/")
    if last == "404.html":
        return []
    if last == "index.html":
        return [path, f"{folder}/", folder] if folder else [path, "/"]
    stem = path.removesuffix(".html")
    return [path] if stem == path else [path, stem, f"{stem}/"]


def is_file(found: Asset | str | None, name: str) -> bool:
    """Whether a look-up came to this file."""
    return isinstance(found, Asset) and found.entry.path == name


def is_rewrite(rule: CompiledRule) -> bool:
    """Whether it answers with other content, for everyone."""
    return rule.written.status == "200" and rule.countries is None


def means(rule: CompiledRule, subject: Subject) -> bool:
    """Whether a rule's source matches; one that takes too long may."""
    try:
        return rule.source.match(subject) is not None
    except PatternTooSlow:
        return True
