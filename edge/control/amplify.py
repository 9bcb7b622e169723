"""
What the AWS CLI prints about an Amplify app → an app folder.

Here: the outputs of `aws amplify get-app`, `list-branches` and `list-domain-associations`, and a
`customHttp.yml` beside them. Not here: what the node takes of it (`imported`). Rules are carried
over as they are, for the language is the same. An output is recognized by its top key, never by
its file's name. Credentials are hashed; nothing of them is ever shown.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from operator import eq
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec
from yaml.nodes import Node

from edge.control.imported import LOCKED, Draft, Imported, KeyPath, Place, read_text
from edge.errors import ConfigError, StoreError
from edge.site import yaml_nodes
from edge.site.decoding import convert
from edge.site.headers import normal_root
from edge.site.hosts import branch_matches
from edge.site.redirects import malformed

CUSTOM_HTTP: Final = "customHttp.yml"
MONOREPO: Final = "AMPLIFY_MONOREPO_APP_ROOT"
"""The variable that tells which app of a monorepo this one is."""

DEFAULT_TTL: Final = "5"
"""What every branch has that nobody gave one."""

BUILDING: Final = ("repository", "buildSpec", "environmentVariables", "iamServiceRoleArn")
"""Keys of an app that concern its build alone."""

OUTPUTS: Final = {
    ("app", "apps"): ("get-app", "rules, headers and the app's password"),
    ("branch", "branches"): ("list-branches", "passwords and performance mode of branches"),
    ("domainAssociation", "domainAssociations"): ("list-domain-associations", "domains"),
}
"""Top keys of what is read → the command, and what comes of it."""

KEYS: Final = {key for keys in OUTPUTS for key in keys}

# Shapes


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What serving depends on in a part of an output. Other keys are passed over."""


class Guarded(Shape, frozen=True, kw_only=True):
    """What may have a password."""

    enable_basic_auth: bool | None = None
    basic_auth_credentials: str | None = None
    """Base64 of `user:password`."""
    enable_performance_mode: bool | None = None


class CustomRule(Shape, frozen=True, kw_only=True):
    """One of an app's `customRules`."""

    source: str | None = None
    target: str | None = None
    status: str | int | None = None
    condition: str | None = None


class ProductionBranch(Shape, frozen=True, kw_only=True):
    """Of an app."""

    branch_name: str | None = None


class App(Guarded, frozen=True, kw_only=True):
    """`app`."""

    name: str
    app_id: str | None = None
    platform: str | None = None
    custom_rules: list[CustomRule] | None = None
    custom_headers: str | None = None
    environment_variables: dict[str, str] | None = None
    production_branch: ProductionBranch | None = None
    enable_auto_branch_creation: bool | None = None
    auto_branch_creation_patterns: list[str] | None = None
    auto_branch_creation_config: Guarded | None = None
    waf_configuration: dict[str, Any] | None = None


class Branch(Guarded, frozen=True, kw_only=True):
    """One of `branches`."""

    branch_name: str
    stage: str | None = None
    ttl: str | None = None
    enable_pull_request_preview: bool | None = None


class SubDomainSetting(Shape, frozen=True, kw_only=True):
    """Which branch answers at a prefix; without one, at the domain itself."""

    branch_name: str
    prefix: str | None = None


class SubDomain(Shape, frozen=True, kw_only=True):
    """One of a domain."""

    sub_domain_setting: SubDomainSetting


class DomainAssociation(Shape, frozen=True, kw_only=True):
    """One of `domainAssociations`."""

    domain_name: str
    enable_auto_sub_domain: bool | None = None
    auto_sub_domain_creation_patterns: list[str] | None = None
    sub_domains: list[SubDomain] | None = None


S = TypeVar("S", bound=Shape)


class Output:
    """One JSON file."""

    def __init__(self, path: Path) -> None:
        self.file = str(path)
        self.text = read_text(path)
        self.node: Node | None = None
        """For places; composed when the first is asked for."""
        try:
            data = msgspec.json.decode(self.text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise StoreError(str(malformed(self.text.encode(), str(error), self.file))) from error
        self.data: dict[str, Any] = data if isinstance(data, dict) else {}

    def place(self, *path: str | int) -> Place:
        """Where a key is; line 1 where that cannot be told."""
        if self.node is None:
            try:
                self.node = yaml_nodes.compose(self.text.replace("\t", " "), self.file)
            except ConfigError:
                return self.file, 1
        return self.file, yaml_nodes.find_key(self.node, path, eq)[0]

    def parts(self, one: str, many: str, shape: type[S]) -> Iterator[Part[S]]:
        """What stands under the key of a `get-…` command, and in the list of a `list-…`."""
        if one in self.data:
            yield Part(self, (one,), self.data[one], shape)
        several = self.data.get(many)
        for number, each in enumerate(several if isinstance(several, list) else ()):
            yield Part(self, (many, number), each, shape)


class Part(Generic[S]):
    """One app, branch or domain of an output."""

    def __init__(
        self, output: Output, path: tuple[str | int, ...], raw: Any, shape: type[S]
    ) -> None:
        self.output = output
        self.path = path
        try:
            self.value: S = convert(raw, shape)
        except msgspec.ValidationError as error:
            file, line = self.place()
            raise StoreError(f"{file}:{line}: {error}; ask AWS for this output again") from error
        self.raw: dict[str, Any] = raw

    def place(self, *keys: str | int) -> Place:
        """Where one of its keys is."""
        return self.output.place(*self.path, *keys)


# Reading


def read_amplify(path: Path) -> Imported:
    """
    The app folder of one Amplify app; `path` is an output, or a folder with several.

    Raises:
        StoreError: there is no output, or one that cannot be read: file, line, and what to do.
    """
    outputs = [Output(file) for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    known = [output for output in outputs if KEYS & output.data.keys()]
    if not known:
        ask = "write the output of `aws amplify get-app --app-id ID` to a file there"
        raise StoreError(f"{path} holds no output about an Amplify app; {ask}")
    draft = Draft("AWS Amplify")
    note_outputs(path, outputs, draft)
    app = the_app(known)
    if app is not None:
        read_app(app, draft)
    read_branches(
        [b for each in known for b in each.parts("branch", "branches", Branch)], app, draft
    )
    for output in known:
        for domain in output.parts("domainAssociation", "domainAssociations", DomainAssociation):
            read_domain(domain, draft)
    read_headers(path / CUSTOM_HTTP, app, draft)
    return draft.finish(app.value.name if app else path.resolve().stem)


def note_outputs(path: Path, outputs: Sequence[Output], draft: Draft) -> None:
    """What is not read, what is only a part of its list, and what was not given."""
    for output in outputs:
        if not KEYS & output.data.keys():
            held = ", ".join(list(output.data)[:3]) or "nothing known"
            why = f"read are the outputs of {', '.join(command for command, _ in OUTPUTS.values())}"
            draft.note((output.file, 1), f"the file is passed over: it holds {held[:80]}", why)
        for key in ("nextToken", "NextToken"):
            if output.data.get(key):
                why = "list again without --max-items and --no-paginate"
                draft.note(output.place(key), "the list is not complete", why)
    for keys, (command, gives) in OUTPUTS.items():
        if not any(output.data.keys() & set(keys) for output in outputs):
            why = (
                f"put the output of `aws amplify {command} --app-id ID` there too, if there are any"
            )
            draft.note((str(path), 1), f"without `{command}`, no {gives} are known", why)


def the_app(outputs: Sequence[Output]) -> Part[App] | None:
    """The one app that the outputs are about."""
    apps = [part for output in outputs for part in output.parts("app", "apps", App)]
    if len({part.value.app_id or part.value.name for part in apps}) > 1:
        file, line = apps[1].place()
        names = ", ".join(sorted({part.value.name for part in apps}))
        remedy = "leave one `get-app` output, its branches and its domains"
        raise StoreError(f"{file}:{line}: there are several apps, {names[:200]}; {remedy}")
    return apps[0] if apps else None


def read_app(part: Part[App], draft: Draft) -> None:
    """What holds for all branches."""
    app = part.value
    for number, rule in enumerate(app.custom_rules or ()):
        draft.add_rule(part.place("customRules", number), written_rule(rule))
    if app.enable_basic_auth:
        protect(part.place("enableBasicAuth"), app, ("access",), draft)
    if root := (app.environment_variables or {}).get(MONOREPO):
        draft.set(part.place("environmentVariables", MONOREPO), ("app_root",), root)
    if app.platform not in (None, "WEB"):
        what = f"the platform {app.platform} renders pages on a server, which Edge does not run"
        why = "run that server elsewhere; a rule from /<*> to its URL, of status fallback, asks it"
        draft.note(part.place("platform"), what, why)
    if app.waf_configuration:
        why = "put a firewall in front; rules of status 403 refuse paths and countries"
        draft.note(part.place("wafConfiguration"), "the firewall stays behind", why)
    building = [key for key in BUILDING if part.raw.get(key)]
    if building:
        why = "build with your CI, and let it run `edge deploy FOLDER --app A --branch B`"
        draft.note(
            part.place(), f"what concerns the build stays behind: {', '.join(building)}", why
        )


def written_rule(rule: CustomRule) -> dict[str, str | None]:
    """A rule as it stands, without keys that say nothing."""
    status = None if rule.status is None else str(rule.status)
    given = {"source": rule.source, "target": rule.target, "status": status}
    written = {key: value for key, value in given.items() if value is not None}
    return {**written, "condition": rule.condition or None}


def protect(place: Place, guarded: Guarded, access: KeyPath, draft: Draft) -> None:
    """The user and password of an app or a branch; what cannot be read is locked."""
    try:
        encoded = "".join((guarded.basic_auth_credentials or "").split())
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        user, colon, password = LOCKED, "", ""
    if colon:
        draft.add_user(place, access, user, password)
    else:
        draft.lock(place, access, LOCKED, "there is no base64 of user:password")


# Branches and domains


def read_branches(parts: Sequence[Part[Branch]], app: Part[App] | None, draft: Draft) -> None:
    """What each branch has of its own."""
    set_production(parts, app, draft)
    for part in parts:
        read_settings(part.place(), part.value, ("branches", part.value.branch_name), draft)
    if app is not None and app.value.enable_auto_branch_creation:
        read_patterns(app, parts, draft)
    previews = [part for part in parts if part.value.enable_pull_request_preview]
    if previews:
        why = "let your CI deploy each to a branch pr-N, and delete it with `edge delete-branch`"
        names = ", ".join(part.value.branch_name for part in previews)
        draft.note(previews[0].place(), f"pull requests against {names[:200]} get no preview", why)
    read_ttl(parts, draft)


def read_ttl(parts: Sequence[Part[Branch]], draft: Draft) -> None:
    """How long a response is fresh, where all branches have one value that somebody chose."""
    ttls = {part.value.ttl or DEFAULT_TTL for part in parts}
    if len(ttls) > 1:
        why = "set s-maxage by customHttp.yml, or cache.default_s_maxage for all branches"
        draft.note(parts[0].place("ttl"), "the branches have different values of ttl", why)
    elif ttls and ttls != {DEFAULT_TTL}:
        ttl = ttls.pop()
        value = int(ttl) if ttl.isdecimal() else ttl
        draft.set(parts[0].place("ttl"), ("cache", "default_s_maxage"), value)


def set_production(parts: Sequence[Part[Branch]], app: Part[App] | None, draft: Draft) -> None:
    """The app's production branch, else the one of that stage."""
    chosen = app.value.production_branch if app else None
    name = chosen.branch_name if chosen else None
    if app and name:
        draft.set(app.place("productionBranch"), ("production_branch",), name)
        return
    for part in (part for part in parts if part.value.stage == "PRODUCTION"):
        draft.set(part.place("stage"), ("production_branch",), part.value.branch_name)
        return


def read_settings(place: Place, guarded: Guarded, path: KeyPath, draft: Draft) -> None:
    """Performance mode and access of a branch, or of a pattern's branches."""
    if guarded.enable_performance_mode:
        draft.set(place, (*path, "performance_mode"), value=True)
    if guarded.enable_basic_auth:
        protect(place, guarded, (*path, "access"), draft)


def read_patterns(app: Part[App], parts: Sequence[Part[Branch]], draft: Draft) -> None:
    """
    What branches get that are created later.

    A branch that is there already did not get it, so one without settings gets an entry.
    """
    config = app.value.auto_branch_creation_config or Guarded()
    if not (config.enable_basic_auth or config.enable_performance_mode):
        return
    place = app.place("autoBranchCreationConfig")
    patterns = app.value.auto_branch_creation_patterns or ["*"]
    for pattern in patterns:
        read_settings(place, config, ("branches", pattern), draft)
    for part in parts:
        branch = part.value
        plain = not (branch.enable_basic_auth or branch.enable_performance_mode)
        if plain and any(branch_matches(pattern, branch.branch_name) for pattern in patterns):
            path = ("branches", branch.branch_name, "performance_mode")
            draft.set(part.place(), path, value=False)


def read_domain(part: Part[DomainAssociation], draft: Draft) -> None:
    """Which branches answer at a domain."""
    domain = part.value
    path = ("domains", domain.domain_name.lower())
    for number, each in enumerate(domain.sub_domains or ()):
        setting = each.sub_domain_setting
        place = part.place("subDomains", number)
        draft.set(place, (*path, "subdomains", setting.prefix or ""), setting.branch_name)
    if domain.enable_auto_sub_domain:
        patterns = domain.auto_sub_domain_creation_patterns or ["*"]
        place = part.place("enableAutoSubDomain")
        draft.set(place, (*path, "auto_subdomains"), patterns)


# Headers


def read_headers(file: Path, app: Part[App] | None, draft: Draft) -> None:
    """The file, else what the app has."""
    embedded = (app.value.custom_headers or "") if app else ""
    root = (app.value.environment_variables or {}).get(MONOREPO) if app else None
    if file.is_file():
        roots = draft.add_custom_http(read_text(file), lambda line: (str(file), line))
        choose_root(roots, root, (str(file), 1), draft)
        if app and embedded.strip():
            what = f"the app's customHeaders are not used, because there is a {CUSTOM_HTTP}"
            draft.note(app.place("customHeaders"), what, "merge them by hand, if they differ")
    elif app and embedded.strip():
        place = app.place("customHeaders")
        choose_root(draft.add_custom_http(embedded, lambda _: place), root, place, draft)


def choose_root(roots: Sequence[str], root: str | None, place: Place, draft: Draft) -> None:
    """Which application of a monorepo's file this app is: the only one, where nothing tells."""
    known = {normal_root(each): each for each in roots}
    if not known or (root and normal_root(root) in known):
        return
    if root is None and len(known) == 1:
        draft.set(place, ("app_root",), next(iter(known.values())))
        return
    why = f"set app_root in app.yml to one of {', '.join(known.values())[:200]}"
    draft.note(place, "which of the applications with headers this app is, is not known", why)
