"""Rules for the source code, and checks of the documents against it."""

from __future__ import annotations

import ast
import json
import re
from functools import cache

import pytest

from app import app
from chalicelib import claims, config, errors, login, sessions
from deploy import PROJECT, smoke
from tests.support import promises

LAYERS = (
    {"errors", "deadline", "cookies", "log", "claims", "return_to", "branding"},
    {"config", "profile", "login"},
    {"address", "aws", "oauth", "transport"},
    {"parameters", "spotify", "table"},
    {"users", "vault"},
    {"sessions"},
    {"tokens"},
    {"process"},
    {"request"},
    {"failure", "pages", "documents"},
    {"events"},
    {"web"},
)
"""Each module imports only from earlier layers, and nothing of chalicelib/site but its constants."""

DOCUMENTS = [
    path.relative_to(PROJECT).as_posix() for path in (*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"))
]
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
VARIABLES = {*re.findall(r"^([A-Z_]+) [?:]?=", MAKEFILE, re.MULTILINE), "URL", "ROWS"}

ALLOWED_IN = {
    "boto3": set(),
    "botocore": {"aws"},
    "requests": {"transport"},
    "itsdangerous": {"cookies"},
    "markupsafe": {"pages"},
    "chalice": {"request", "web"},
}


@cache
def sources(folder: str) -> dict[str, ast.Module]:
    """The syntax trees of a package's modules, by name. A subpackage counts as a module; the site's is left out."""
    found = {}
    for path in (PROJECT / folder).rglob("*.py"):
        if path.parent.name == "site":
            continue
        name = path.parent.name if path.name == "__init__.py" and path.parent.name != folder else path.stem
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports(tree: ast.Module) -> set[str]:
    """The dotted names that a module imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own_imports(tree: ast.Module) -> set[str]:
    """The modules of chalicelib that a module imports, apart from the site's constants."""
    names = {name for name in imports(tree) if f"{name}.".startswith("chalicelib.")}
    return {name.split(".")[1] for name in names if not name.startswith("chalicelib.site.brand")}


def test_modules_import_only_from_lower_layers() -> None:
    modules = {name: tree for name, tree in sources("chalicelib").items() if name != "__init__"}
    assert set(modules) == set().union(*LAYERS)
    below: set[str] = set()
    for layer in LAYERS:
        for name in layer:
            assert own_imports(modules[name]) <= below, name
        below |= layer


def test_the_brand_of_the_site_imports_nothing() -> None:
    assert imports(ast.parse((PROJECT / "chalicelib" / "site" / "brand.py").read_text())) == set()


def test_a_library_is_imported_only_where_it_is_allowed() -> None:
    found: dict[str, set[str]] = {library: set() for library in ALLOWED_IN}
    for name, tree in sources("chalicelib").items():
        for library in {*ALLOWED_IN} & {imported.split(".")[0] for imported in imports(tree)}:
            found[library].add(name)
    assert found == ALLOWED_IN


@pytest.mark.parametrize("folder", ["simulator", "local", "deploy", "bench"])
def test_the_tooling_imports_only_the_config_of_the_app(folder: str) -> None:
    brand = {"chalicelib.branding", "chalicelib.site"}
    allowed = {"chalicelib.config", *brand} if folder in {"local", "deploy"} else set()
    for tree in sources(folder).values():
        known = {name for name in imports(tree) if name.split(".")[0] in {"app", "chalicelib"}}
        assert {".".join(name.split(".")[:2]) for name in known} <= allowed
    for tree in [*sources("chalicelib").values(), ast.parse((PROJECT / "app.py").read_text())]:
        assert not any(name.split(".")[0] == folder for name in imports(tree))


def tables(path: str) -> list[list[str]]:
    """The rows of all tables in a document, as lists of cells."""
    lines = (PROJECT / path).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def test_the_readme_lists_the_four_routes_of_the_login() -> None:
    documented = {row[0].strip("`") for row in tables("README.md") if row[0].startswith("`GET ")}
    routes = {f"{method} {path}" for path, methods in app.routes.items() for method in methods}
    assert documented == {"GET /", "GET /login", "GET /callback", "GET /logout"}
    assert documented <= routes, "routes that you add need not be in the README"


def test_the_settings_document_lists_every_setting() -> None:
    documented = [
        name
        for row in tables("docs/settings.md")
        for name in re.findall(r"`([A-Z_]+)`", row[0])
        if not name.startswith("AWS_")
    ]
    assert sorted(documented) == sorted([*config.NAMES, "PARAMETER_PATH"])


@pytest.mark.promise("D10")
def test_the_storage_document_lists_every_attribute_and_cookie() -> None:
    documented = {row[0].strip("`") for row in tables("docs/storage.md")}
    assert {"account_id", "login_id", "ended", "profile", "expires_at"} <= documented
    assert {f"__Host-{sessions.COOKIE}", f"__Host-{login.COOKIE}…"} <= documented


@pytest.mark.promise("C5", "D5")
def test_the_lifetimes_match_the_documents() -> None:
    assert claims.LIFETIME == 30 * 24 * 3600
    assert claims.IDLE == 7 * 24 * 3600
    assert login.LIFETIME == 10 * 60
    assert login.MOST == 5
    text = (PROJECT / "docs/storage.md").read_text(encoding="utf-8")
    for lifetime in ("30 days", "7 days", "10 minutes", "five"):
        assert lifetime in text
    assert "30 days" in errors.UsersUnavailable.remedy
    assert "ten minutes" in errors.LoginExpired.message


def leaves(branch: type[errors.LoginError]) -> set[type[errors.LoginError]]:
    return {branch}.union(*(leaves(leaf) for leaf in branch.__subclasses__()))


def test_the_error_tree_in_the_docstring_matches_the_classes() -> None:
    documented = re.findall(r"[├└]── (\w+) *(\d{3})? *([a-z_]+)?", errors.__doc__ or "")
    classes = leaves(errors.LoginError) - {errors.LoginError}
    assert {name for name, _, _ in documented} == {leaf.__name__ for leaf in classes}
    for name, status, reason in documented:
        leaf = getattr(errors, name)
        assert not status or leaf.status == int(status), name
        assert not reason or leaf.reason == reason, name
    reasons = [leaf.reason for leaf in classes if leaf.reason != "bug"]
    assert len(reasons) == len(set(reasons)), "each reason belongs to one error"


def test_the_operations_document_lists_every_reason_in_the_log() -> None:
    documented = {
        reason
        for row in tables("docs/operations.md")
        for reason in re.findall(r"`([a-z_]+)`", row[0])
        if len(row) == 2
    }
    reasons = {leaf.reason for leaf in leaves(errors.LoginError)}
    assert documented == reasons | {"parameters_unread", "parameters_stale"}


@pytest.mark.promise("K2")
def test_stages_hold_no_secret_reach_only_their_own_resources_and_differ_only_by_name() -> None:
    stages = json.loads((PROJECT / ".chalice/config.json").read_text())["stages"]
    assert json.dumps(stages["dev"]).replace("dev", "prod") == json.dumps(stages["prod"])
    assert set(stages["prod"]["environment_variables"]) == {"USERS_TABLE", "PARAMETER_PATH"}
    dev, prod = ((PROJECT / f".chalice/policy-{stage}.json").read_text() for stage in ("dev", "prod"))
    assert dev.replace("-dev", "-prod").replace("/dev", "/prod") == prod
    table, parameters, logs = json.loads(prod)["Statement"]
    assert sorted(table["Action"]) == ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:UpdateItem"]
    assert table["Resource"].endswith(":table/spotify-login-users-prod")
    assert parameters["Action"] == "ssm:GetParametersByPath"
    assert all("/spotify-login/prod" in resource for resource in parameters["Resource"])
    assert logs["Resource"].endswith("/aws/lambda/spotify-login-prod:*")


@pytest.mark.parametrize("path", DOCUMENTS)
def test_the_links_and_commands_of_a_document_exist_and_show_no_secret(path: str) -> None:
    text = (PROJECT / path).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("http") or (PROJECT / path).parent.joinpath(target).exists(), target
    for target, settings in re.findall(r"(?m)(?:^|`|&& |run: )make ([a-z-]+)((?: [A-Z_]+=\S+)*)", text):
        assert target in TARGETS
        assert set(re.findall(r"([A-Z_]+)=", settings)) <= VARIABLES
    literal = r"(export |^|`)(SPOTIFY_CLIENT_SECRET|SECRET_KEY)=(?![\"]?\$\()\S+"
    assert not re.search(literal, text, re.MULTILINE), "the shell would keep it in its history"


def test_every_row_of_the_security_document_has_a_test_and_every_mark_a_row() -> None:
    assert set(promises.rows()) == set(promises.tests())


def test_the_rows_marked_in_the_security_document_are_those_that_smoke_checks() -> None:
    marked = [row[0].removesuffix("\\*") for row in tables("docs/security.md") if row[0].endswith("\\*")]
    assert marked == [name.split("_")[1].upper() for name in vars(smoke) if name.startswith("test_")]
