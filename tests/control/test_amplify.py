"""What the AWS CLI prints about an Amplify app, as an app folder."""

from __future__ import annotations

import base64
import json
import time

import argon2
import pytest

from edge.control.amplify import read_amplify
from edge.errors import StoreError
from edge.http.target import decode_path
from edge.site.documents import (
    Access,
    App,
    BranchSettings,
    CacheKey,
    Domain,
    branch_settings,
    decode_app,
)
from edge.site.expressions import Budget
from edge.site.headers import HeaderPlan, decode_headers
from edge.site.plan import Redirect, Rewrite, compile_plan
from edge.site.redirects import decode_redirects
from edge.site.subject import Subject
from tests.support_site import fields_of

SPA = r"</^[^.]+$|\.(?!(css|gif|ico|jpg|js|png|txt|svg|woff|woff2|ttf|map|json|webp)$)([^.]+$)/>"

RULES = [
    {"source": "https://example.com", "target": "https://www.example.com", "status": "302"},
    {"source": "/docs/<*>", "target": "/documents/<*>", "status": "301"},
    {"source": "/us", "target": "/en-us", "status": "302", "condition": "<US>"},
    {"source": SPA, "target": "/index.html", "status": "200"},
    {"source": "/<*>", "target": "/404.html", "status": "404-200", "condition": ""},
]


def encoded(text):
    """As AWS keeps credentials."""
    return base64.b64encode(text.encode()).decode()


def app(**keys):
    """The output of `aws amplify get-app` for a site that was connected and never touched."""
    return {
        "app": {
            "appId": "d2t0xexample",
            "appArn": "arn:aws:amplify:eu-central-1:123456789012:apps/d2t0xexample",
            "name": "My Shop",
            "tags": {},
            "repository": "https://github.com/example/shop",
            "platform": "WEB",
            "createTime": "2023-04-01T10:00:00.000000+02:00",
            "updateTime": "2024-04-01T10:00:00.000000+02:00",
            "environmentVariables": {},
            "defaultDomain": "d2t0xexample.amplifyapp.com",
            "enableBranchAutoBuild": False,
            "enableBranchAutoDeletion": False,
            "enableBasicAuth": False,
            "customRules": [],
            "productionBranch": {
                "lastDeployTime": "2024-04-01T10:00:00.000000+02:00",
                "status": "SUCCEED",
                "branchName": "main",
            },
            "customHeaders": "",
            "enableAutoBranchCreation": False,
            "repositoryCloneMethod": "TOKEN",
            "cacheConfig": {"type": "AMPLIFY_MANAGED"},
            **keys,
        }
    }


def branch(name, **keys):
    """One of the output of `aws amplify list-branches`."""
    return {
        "branchArn": f"arn:aws:amplify:eu-central-1:123456789012:apps/d2t0xexample/branches/{name}",
        "branchName": name,
        "stage": "DEVELOPMENT",
        "displayName": name,
        "enableNotification": False,
        "environmentVariables": {},
        "enableAutoBuild": True,
        "customDomains": [],
        "framework": "Web",
        "activeJobId": "0000000001",
        "totalNumberOfJobs": "1",
        "enableBasicAuth": False,
        "enablePerformanceMode": False,
        "ttl": "5",
        "enablePullRequestPreview": False,
        **keys,
    }


def domain(name, prefixes, **keys):
    """One of the output of `aws amplify list-domain-associations`."""
    return {
        "domainAssociationArn": f"arn:aws:amplify:eu-central-1:1:apps/d2t0/domains/{name}",
        "domainName": name,
        "enableAutoSubDomain": False,
        "domainStatus": "AVAILABLE",
        "certificateVerificationDNSRecord": f"_c.{name}. CNAME _d.acm-validations.aws.",
        "subDomains": [
            {
                "subDomainSetting": {"prefix": prefix, "branchName": name},
                "verified": True,
                "dnsRecord": f"{prefix} CNAME d111.cloudfront.net",
            }
            for prefix, name in prefixes.items()
        ],
        **keys,
    }


@pytest.fixture
def imported(tmp_path):
    """The import of these outputs; what is not given is an empty list."""

    def run(*outputs, headers=None):
        given = {key for output in outputs for key in output}
        empty = [{key: []} for key in ("branches", "domainAssociations") if key not in given]
        for number, output in enumerate((*outputs, *empty)):
            (tmp_path / f"{number}.json").write_text(json.dumps(output, indent=4))
        if headers is not None:
            (tmp_path / "customHttp.yml").write_text(headers)
        return read_amplify(tmp_path)

    return run


def decoded_app(found):
    """Its `app.yml`, as the node reads it."""
    document, errors = decode_app(found.files["app.yml"], "app.yml")
    assert errors == []
    return document


def fields(found, path, root=None):
    """The headers that the node would send for a path."""
    document, errors = decode_headers(found.files["customHttp.yml"], "customHttp.yml")
    assert errors == []
    return dict(fields_of(HeaderPlan(document.entries_for(root)), path))


def told(found):
    """The notes, but for that on the build."""
    return [str(note) for note in found.notes if "concerns the build" not in note.what]


def test_an_untouched_app_has_the_defaults(imported):
    """One note says that its build stays behind."""
    found = imported(app())

    assert found.app == "my-shop"
    assert list(found.files) == ["app.yml"]
    assert decoded_app(found) == App(production_branch="main")
    (note,) = found.notes
    assert (note.line, note.what) == (2, "what concerns the build stays behind: repository")
    assert "edge deploy" in note.why


def test_one_output_alone_is_enough(tmp_path):
    """What else could be given is told, for passwords of branches may be among it."""
    file = tmp_path / "whatever.txt"
    file.write_text(json.dumps(app(customRules=RULES)))

    found = read_amplify(file)

    assert "redirects.json" in found.files
    notes = [str(note) for note in found.notes]
    assert any("without `list-branches`, no passwords and performance mode" in n for n in notes)
    assert any("without `list-domain-associations`, no domains are known" in n for n in notes)


def test_rules_decide_as_before(imported):
    """They are carried over as they are."""
    found = imported(app(customRules=RULES))

    rules, errors, warnings = decode_redirects(found.files["redirects.json"], "redirects.json")
    assert (errors, warnings, told(found)) == ([], [], [])
    written = json.loads(found.files["redirects.json"])
    assert written == [{**rule, "condition": rule.get("condition") or None} for rule in RULES]
    plan = compile_plan(rules)

    def decide(path, host="www.example.com", country=None):
        raw = path.encode()
        clock = Budget(time.process_time)
        return plan.decide(Subject(decode_path(raw), raw, None, host, country, clock))

    apex = decide("/a", "example.com")
    assert apex == Redirect(302, b"https://www.example.com/a", 0, by_domain=True)
    assert decide("/docs/a") == Redirect(301, b"/documents/a", 1, by_domain=False)
    assert decide("/us", country="US") == Redirect(302, b"/en-us", 2, by_domain=False)
    assert decide("/us") == Rewrite("/index.html", 200, 3)
    assert decide("/app.js") is None


def test_rules_that_cannot_be_carried_over_have_their_line(imported):
    """An inert one is kept, as the guide has it."""
    bad = [
        {"source": "/a/<*>/b", "target": "/c", "status": "301"},
        {"source": "/x", "target": "/y", "status": "201"},
        {"source": "https://example.com/a", "target": "/y", "status": "301"},
        {"source": "/s3", "target": "s3://bucket/", "status": "200"},
        {"target": "/nowhere"},
        {"source": "/z", "target": "/y"},
    ]
    found = imported(app(customRules=bad))

    sources = [rule["source"] for rule in json.loads(found.files["redirects.json"])]
    assert sources == ["/a/<*>/b", "https://example.com/a", "/z"]
    text = json.dumps(app(customRules=bad), indent=4).splitlines()
    lines = [
        next(number for number, line in enumerate(text, 1) if f'"{value}"' in line) - 1
        for value in ("/a/<*>/b", "/x", "https://example.com/a", "/s3", "/nowhere")
    ]
    assert [note.split(": ")[0].rpartition(":")[2] for note in told(found)] == list(map(str, lines))
    assert "is kept, but source: the rule never matches" in told(found)[0]
    assert "is left out: status: unknown status '201'" in told(found)[1]


# Headers

HEADERS = """\
customHeaders:
  # everywhere
  - pattern: '**'
    headers:
      - key: Strict-Transport-Security
        value: max-age=31536000; includeSubDomains
  - pattern: '/static/*'
    headers:
      - {key: Cache-Control, value: s-maxage=3600}
"""


def test_headers_of_the_app_are_carried_over(imported):
    """As they are, comments and all."""
    found = imported(app(customHeaders=HEADERS))

    assert found.files["customHttp.yml"] == HEADERS
    assert fields(found, "/static/a.js") == {
        b"Strict-Transport-Security": b"max-age=31536000; includeSubDomains",
        b"Cache-Control": b"s-maxage=3600",
    }
    assert told(found) == []


def test_the_file_wins_over_the_app(imported):
    """And a note says so."""
    ours = "customHeaders: [{pattern: '*', headers: [{key: X-Ours, value: '1'}]}]\n"
    found = imported(app(customHeaders=HEADERS), headers=ours)

    assert fields(found, "/") == {b"X-Ours": b"1"}
    assert len(told(found)) == 1
    assert "the app's customHeaders are not used" in told(found)[0]


def test_headers_that_the_node_refuses_are_notes(imported):
    """In the output's line, or in the file's."""
    bad = HEADERS.replace("Strict-Transport-Security", "Transfer-Encoding")
    embedded = imported(app(customHeaders=bad))
    beside = imported(app(), headers=bad)

    for found in (embedded, beside):
        assert fields(found, "/static/a.js") == {b"Cache-Control": b"s-maxage=3600"}
        assert "'Transfer-Encoding' cannot be set" in told(found)[0]
    assert '"customHeaders"' in json.dumps(app(), indent=4).splitlines()[embedded.notes[1].line - 1]
    assert "customHttp.yml:5: " in " ".join(told(beside))


MONOREPO = """\
applications:
  - appRoot: apps/shop
    customHeaders: [{pattern: '*', headers: [{key: X-App, value: shop}]}]
  - appRoot: apps/blog
    customHeaders: [{pattern: '*', headers: [{key: X-App, value: blog}]}]
"""


@pytest.mark.parametrize(
    ("root", "expected", "note"),
    [
        ("apps/shop", "apps/shop", None),
        ("./apps/blog/", "./apps/blog/", None),
        ("apps/none", "apps/none", "set app_root in app.yml to one of apps/shop, apps/blog"),
        (None, None, "set app_root in app.yml to one of apps/shop, apps/blog"),
    ],
)
def test_a_monorepo_knows_its_app_by_a_variable(imported, root, expected, note):
    """The one that Amplify sets itself."""
    variables = {"AMPLIFY_MONOREPO_APP_ROOT": root} if root else {}
    found = imported(app(customHeaders=MONOREPO, environmentVariables=variables))

    assert decoded_app(found).app_root == expected
    assert [each for each in told(found) if note and note in each] == told(found)
    assert bool(told(found)) == bool(note)


def test_a_monorepo_of_one_app_needs_no_variable(imported):
    """It can be no other."""
    found = imported(app(customHeaders="\n".join(MONOREPO.splitlines()[:3])))

    assert decoded_app(found).app_root == "apps/shop"
    assert fields(found, "/a", "apps/shop") == {b"X-App": b"shop"}


# Access


def test_passwords_are_hashed(imported):
    """Of the app and of a branch; a branch without its own has the app's."""
    found = imported(
        app(enableBasicAuth=True, basicAuthCredentials=encoded("team:pass:word")),
        {
            "branches": [
                branch("main"),
                branch("dev", enableBasicAuth=True, basicAuthCredentials=encoded("dev:pässword")),
                branch("old", basicAuthCredentials=encoded("old:notenabled")),
            ]
        },
    )

    document = decoded_app(found)
    assert argon2.PasswordHasher().verify(document.access.users["team"], "pass:word")
    users = branch_settings(document, "dev").access.users
    assert argon2.PasswordHasher().verify(users["dev"], "pässword")
    assert list(users) == ["dev"]
    for name in ("main", "old"):
        assert branch_settings(document, name).access == document.access
    assert told(found) == []
    assert not any("pass" in text for text in found.files.values())


@pytest.mark.parametrize(
    ("credentials", "user", "reason"),
    [
        (encoded("team:short"), "team", "the password has 5 characters"),
        (encoded("no colon here"), "locked", "there is no base64 of user:password"),
        ("team:password", "locked", "there is no base64 of user:password"),
        (base64.b64encode(b"team:p\xe4ssword").decode(), "locked", "there is no base64"),
        (None, "locked", "there is no base64 of user:password"),
    ],
    ids=["short", "no colon", "plain", "latin-1", "missing"],
)
def test_what_was_closed_stays_closed(imported, credentials, user, reason):
    """For everybody, until the operator sets a password; it is not shown in the note."""
    found = imported(app(enableBasicAuth=True, basicAuthCredentials=credentials))

    assert list(decoded_app(found).access.users) == [user]
    (note,) = told(found)
    assert reason in note
    assert "nobody can log in until `edge hash-password` is at access.users." in note
    assert "password'" not in note


# Branches and domains


def test_branches_have_their_settings(imported):
    """Performance mode; the production branch is the app's, else the one of that stage."""
    branches = {
        "branches": [
            branch("trunk", stage="PRODUCTION", enablePerformanceMode=True),
            branch("dev"),
        ]
    }
    named = decoded_app(imported(app(), branches))
    staged = decoded_app(imported(app(productionBranch=None), branches))

    assert (named.production_branch, staged.production_branch) == ("main", "trunk")
    assert named.branches == {"trunk": BranchSettings(performance_mode=True)}


def test_one_branch_alone_is_an_output_too(imported):
    """And so is one domain: the `get-` commands."""
    found = imported(
        {"branch": branch("beta", enablePerformanceMode=True)},
        {"domainAssociation": domain("example.com", {"www": "beta"})},
    )

    document = decoded_app(found)
    assert document.branches == {"beta": BranchSettings(performance_mode=True)}
    assert document.domains == {"example.com": Domain(subdomains={"www": "beta"})}
    assert any("without `get-app`, no rules, headers and" in note for note in told(found))


def test_domains_and_subdomains(imported):
    """Automatic ones where they were enabled, by their patterns."""
    found = imported(
        app(),
        {
            "domainAssociations": [
                domain(
                    "Example.com",
                    {"": "main", "www": "main", "beta.alpha": "dev"},
                    enableAutoSubDomain=True,
                    autoSubDomainCreationPatterns=["*", "pr*"],
                ),
                domain("example.org", {None: "main"}, autoSubDomainCreationPatterns=["*"]),
                domain("example.net", {"*": "main"}, enableAutoSubDomain=True),
            ]
        },
    )

    assert decoded_app(found).domains == {
        "example.com": Domain(
            subdomains={"": "main", "www": "main", "beta.alpha": "dev"},
            auto_subdomains=("*", "pr*"),
        ),
        "example.org": Domain(subdomains={"": "main"}),
        "example.net": Domain(auto_subdomains=("*",)),
    }
    (note,) = told(found)
    assert "domains.example.net.subdomains: '*' is not a subdomain" in note


def test_branches_to_come_have_their_settings(imported):
    """Those that are there already keep what they have."""
    found = imported(
        app(
            enableAutoBranchCreation=True,
            autoBranchCreationPatterns=["feature/*", "release*"],
            autoBranchCreationConfig={
                "stage": "DEVELOPMENT",
                "enableBasicAuth": True,
                "basicAuthCredentials": encoded("team:password"),
                "enablePerformanceMode": True,
            },
        ),
        {"branches": [branch("main"), branch("feature/open")]},
    )

    document = decoded_app(found)
    for name in ("feature/new", "release-1"):
        assert branch_settings(document, name).performance_mode
        assert list(branch_settings(document, name).access.users) == ["team"]
    for name in ("main", "feature/open"):
        assert branch_settings(document, name) == BranchSettings(access=Access(users={}))


@pytest.mark.parametrize(
    ("ttls", "seconds", "notes"),
    [
        (["5", "5"], 600, 0),
        (["60", "60"], 60, 0),
        (["60", "5"], 600, 1),
        ([None, None], 600, 0),
        (["soon", "soon"], 600, 1),
    ],
)
def test_a_lifetime_of_all_branches_is_the_default(imported, ttls, seconds, notes):
    """Different ones cannot be said; 5 is what nobody chose."""
    branches = [branch(f"b{number}", ttl=ttl) for number, ttl in enumerate(ttls)]
    found = imported(app(), {"branches": branches})

    assert decoded_app(found).cache == CacheKey(default_s_maxage=seconds)
    assert len(told(found)) == notes


# What has no counterpart


def test_what_matters_to_serving_is_told(imported):
    """Each with its line, and what to do."""
    found = imported(
        app(platform="WEB_COMPUTE", wafConfiguration={"webAclArn": "arn:…"}),
        {"branches": [branch("main", enablePullRequestPreview=True)]},
        {"webhooks": [{"webhookId": "w"}]},
    )

    notes = " ".join(told(found))
    assert "the platform WEB_COMPUTE renders pages on a server" in notes
    assert "of status fallback, asks it" in notes
    assert "the firewall stays behind" in notes
    assert "pull requests against main get no preview" in notes
    assert "2.json:1: the file is passed over: it holds webhooks" in notes


def test_the_build_is_one_note(imported):
    """And nothing of its variables is shown."""
    found = imported(
        app(
            buildSpec="version: 1\n",
            environmentVariables={"API_KEY": "s3cr3t"},
            iamServiceRoleArn="arn:aws:iam::123456789012:role/amplify",
        )
    )

    (note,) = found.notes
    assert note.what.endswith("repository, buildSpec, environmentVariables, iamServiceRoleArn")
    assert "s3cr3t" not in str(note) + "".join(found.files.values())


def test_a_list_that_is_not_complete_is_told(imported):
    """The CLI prints a token then."""
    found = imported(app(), {"branches": [], "NextToken": "eyJ"})

    assert "1.json:3: the list is not complete (list again without --max-items" in told(found)[0]


# What is refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"app": {\n  "name": }', r"bad\.json:2:11: JSON: .*correct the JSON here"),
        (b'{"app": {', r"bad\.json:1:10: JSON: "),
        (b"", r"bad\.json:1:1: JSON: "),
        (b"[" * 100_000, r"bad\.json:1:\d+: JSON: "),
        (b'{"app": {"name": "\xff"}}', r"bad\.json:1: this is not UTF-8"),
        ('{"app": {}}'.encode("utf-16"), r"bad\.json:1: this is not UTF-8; save the file as UTF-8"),
        (b'{"app":\n {}}', r"bad\.json:1: .*missing required field `name`; ask AWS"),
        (b'{"branches": [\n{"branchName": 5}]}', r"bad\.json:2: Expected `str`, got `int`"),
        (b'{"functions": []}', r"holds no output about an Amplify app; write the output of `aws"),
        (b"[]", r"holds no output about an Amplify app"),
    ],
    ids=[
        "broken",
        "torn",
        "empty",
        "deep",
        "latin-1",
        "PowerShell",
        "shape",
        "type",
        "other",
        "list",
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, content, message):
    """With the file, the line, and what to do."""
    file = tmp_path / "bad.json"
    file.write_bytes(content)

    for path in (file, tmp_path):
        with pytest.raises(StoreError, match=message):
            read_amplify(path)


def test_nothing_there_is_refused(tmp_path):
    """An empty folder, and none."""
    with pytest.raises(StoreError, match="holds no output about an Amplify app"):
        read_amplify(tmp_path)
    with pytest.raises(StoreError, match="cannot be read: No such file or directory"):
        read_amplify(tmp_path / "none")


def test_two_apps_are_refused(imported):
    """The passwords of one could become those of the other; the same one twice is one."""
    with pytest.raises(StoreError, match=r"1\.json:2: there are several apps, My Shop, Other; le"):
        imported(app(), app(appId="d2other", name="Other"))

    assert imported(app(), app()).app == "my-shop"
