"""The gate in front of everything, asked as browsers, other sites and programs do."""

from collections.abc import Iterator

import pytest
import requests
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from results.database import prepare
from tests.support.pages import PASSWORD, READABLE, browsing, contrast, opened, serving_page

PATHS = ("/", "/timeline", "/_stcore/health", "/_stcore/host-config", "/static/", "/media/x", "/fer/media/1", "/fer/x")
SOCKET = "/_stcore/stream"
PROXY = "X-Gate: a secret of the proxy"


@pytest.fixture(scope="module")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('database') / 'results.db'}"
    prepare(url)
    return url


@pytest.fixture(scope="module")
def closed(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page behind a password, at all addresses."""
    log = tmp_path_factory.mktemp("web") / "web.log"
    secrets = {"FER_WEB_PASSWORD": PASSWORD, "FER_WEB_PROXY_HEADER": PROXY}
    with serving_page(log, database_url, "--address", "0.0.0.0", **secrets) as url:
        yield url


@pytest.fixture(scope="module")
def open_page(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page without a password, on this machine alone."""
    with serving_page(tmp_path_factory.mktemp("web") / "web.log", database_url) as url:
        yield url


def handshake(url: str, **headers: str) -> int:
    """The status of a websocket's handshake."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with connect(url.replace("http", "ws", 1) + SOCKET, additional_headers=named, subprotocols=["streamlit"]):  # type: ignore[list-item]
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def logged_in(url: str, visitor: str = "127.0.0.1") -> requests.Session:
    session = requests.Session()
    session.headers["X-Forwarded-For"] = visitor
    answer = session.post(f"{url}/fer/login", data={"password": PASSWORD})
    assert answer.status_code == 200 and "_stcore" not in answer.url
    return session


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_served_without_the_password(closed: str, path: str) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
        assert requests.request(method, closed + path).status_code == 401, method
    forged = {"fer_session": "in.abc.def"}
    assert requests.get(closed + path, cookies=forged).status_code == 401
    sent_on = requests.get(closed + path, headers={"Accept": "text/html"}, allow_redirects=False)
    assert (sent_on.status_code, sent_on.headers["Location"]) == (303, f"/fer/login?next={path}")


def test_no_websocket_opens_without_the_password(closed: str) -> None:
    assert handshake(closed) == 403
    cookie = logged_in(closed).cookies["fer_session"]
    assert handshake(closed, Cookie=f"fer_session={cookie}") == 101
    # A signature is good for its own value alone.
    assert handshake(closed, Cookie=f"fer_session=x{cookie}") == 403


def test_the_password_opens_everything_by_a_cookie_that_scripts_and_other_sites_cannot_use(closed: str) -> None:
    answer = requests.post(f"{closed}/fer/login?next=/jobs", data={"password": PASSWORD}, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/jobs")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" not in cookie
    session = logged_in(closed)
    assert session.get(f"{closed}/_stcore/health").text == "ok"
    assert session.get(f"{closed}/fer/media/1").status_code == 404
    behind_tls = requests.post(
        f"{closed}/fer/login", {"password": PASSWORD}, headers={"X-Forwarded-Proto": "https"}, allow_redirects=False
    )
    assert "Secure" in behind_tls.headers["Set-Cookie"]


@pytest.mark.parametrize("wanted", ["//evil.test", "/\\evil.test", "https://evil.test"])
def test_a_login_leads_to_this_server_only(closed: str, wanted: str) -> None:
    query = {"next": wanted}
    answer = requests.post(f"{closed}/fer/login", {"password": PASSWORD}, params=query, allow_redirects=False)
    assert answer.headers["Location"] == "/"


def test_a_proxy_that_knows_the_secret_opens_the_page(closed: str) -> None:
    name, _, secret = PROXY.partition(": ")
    assert requests.get(f"{closed}/_stcore/health", headers={name: secret}).text == "ok"
    assert requests.get(f"{closed}/_stcore/health", headers={name: secret[:-1]}).status_code == 401
    assert handshake(closed, **{name: secret}) == 101


def test_a_visitor_may_fail_five_times_a_minute(closed: str) -> None:
    def attempt(password: str, visitor: str) -> int:
        data, headers = {"password": password}, {"X-Forwarded-For": visitor}
        return requests.post(f"{closed}/fer/login", data, headers=headers, allow_redirects=False).status_code

    assert [attempt("wrong", "192.0.2.1") for _ in range(6)] == [403] * 5 + [429]
    # Not even with the right one, so that a guesser does not learn it.
    assert attempt(PASSWORD, "192.0.2.1") == 429
    assert attempt(PASSWORD, "192.0.2.2") == 303
    # A client of IPv6 has a whole network of addresses.
    assert [attempt("wrong", f"2001:db8::{number}") for number in range(6)][-1] == 429
    assert attempt("x" * 10_000, "192.0.2.3") == 403


@pytest.mark.parametrize("origin", ["https://evil.test", "http://127.0.0.1:1", "null", "http://["])
def test_other_sites_reach_neither_websocket_nor_routes(closed: str, open_page: str, origin: str) -> None:
    cookie = logged_in(closed).cookies["fer_session"]
    for url in (closed, open_page):
        headers = {"Cookie": f"fer_session={cookie}", "Origin": origin}
        assert handshake(url, **headers) == 403
        assert handshake(url, **headers | {"Origin": url}) == 101
        for path in (*PATHS, "/fer/login"):
            assert requests.put(url + path, headers=headers).status_code == 403
        # What a page of another site shows by <img> or <video> comes without Origin.
        shown = {"Cookie": headers["Cookie"], "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}
        assert requests.get(f"{url}/fer/media/1", headers=shown).status_code == 403
        link = shown | {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}
        assert requests.get(url, headers=link).status_code == 200


def test_without_a_password_the_page_answers_to_the_names_of_this_machine_only(open_page: str) -> None:
    port = open_page.rpartition(":")[2]
    for host in ("localhost", "127.0.0.1", "[::1]"):
        assert requests.get(f"{open_page}/_stcore/health", headers={"Host": f"{host}:{port}"}).status_code == 200
    for host in ("evil.test", "localhost.evil.test", "127.0.0.1.evil.test", ""):
        assert requests.get(open_page, headers={"Host": f"{host}:{port}"}).status_code == 403
        assert handshake(open_page, Host=f"{host}:{port}", Origin=f"http://{host}:{port}") in (400, 403)


def test_the_gate_in_a_browser(closed: str) -> None:
    with browsing() as chromium:
        page = opened(chromium, f"{closed}/jobs")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Enter").click()
        page.get_by_role("alert").get_by_text("That is not the password.").wait_for()
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Enter").click()
        page.get_by_role("heading", name="Jobs").wait_for()
        assert page.url == f"{closed}/jobs"
        assert page.evaluate("document.cookie.includes('fer_session')") is False
        assert page.get_by_text("Deploy").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_login_can_be_read(closed: str, theme: str) -> None:
    with browsing() as chromium:
        page = opened(chromium, f"{closed}/jobs", theme=theme)
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Enter").click()
        assert contrast(page.get_by_role("alert")) >= READABLE
        assert contrast(page.get_by_role("button", name="Enter")) >= READABLE
