"""The page Live in a real browser, whose fake camera is fed with a clip of faces."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from fer_model.types import EMOTIONS
from tests.support.pages import READABLE, WAIT_MS, browsing, camera_flags, contrast, opened, serving_page
from tests.support.watching import until


@pytest.fixture(scope="module")
def url(prepared: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("web")
    uploads = {"FER_UPLOADS_DIR": str(folder / "uploads")}
    with serving_page(folder / "web.log", f"sqlite:///{folder / 'results.db'}", **uploads) as address:
        yield address


@pytest.fixture(scope="module")
def chromium(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(*camera_flags(samples, tmp_path_factory.mktemp("camera") / "camera.mjpeg")) as running:
        yield running


@pytest.fixture
def page(chromium: Browser, url: str) -> Iterator[Page]:
    window = opened(chromium, f"{url}/live")
    window.get_by_text("No face in the last minute.").wait_for()
    yield window
    window.close()


def label(page: Page) -> str:
    """The emotion that the page shows for a face that is in the picture."""
    now = page.locator(".fer-strip td b").first
    # A handshake of WebRTC may take half a minute on a busy machine.
    now.wait_for(timeout=2 * WAIT_MS)
    return now.inner_text()


def test_posted_frames(page: Page) -> None:
    page.get_by_text("JPEG", exact=True).click()
    page.get_by_role("button", name="Start").click()
    assert label(page) in EMOTIONS
    assert page.locator(".fer-strip tbody tr").count() >= 2
    # The picture itself: not empty, and with the colours of boxes.
    shown = "canvas => canvas.getContext('2d').getImageData(0, 0, 640, 480).data.some(value => value)"
    assert page.get_by_role("img", name="Your webcam with the faces found in it").evaluate(shown)
    status = page.get_by_role("status").filter(has_text="frames a second")
    status.first.wait_for()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Start")).to_be_visible()


def test_a_second_press_before_the_camera_is_open_opens_no_second_camera(chromium: Browser, url: str) -> None:
    page = chromium.new_page(color_scheme="dark")
    page.set_default_timeout(WAIT_MS)
    # The visitor needs a moment to answer the browser's question.
    page.add_init_script(
        "window.cameras = [];"
        "const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        "navigator.mediaDevices.getUserMedia = async (wanted) => {"
        " await new Promise((done) => { window.answer = done; });"
        " window.cameras.push(await own(wanted)); return window.cameras.at(-1); };"
    )
    page.goto(f"{url}/live")
    page.get_by_text("JPEG", exact=True).click()
    start = page.get_by_role("button", name="Start")
    start.click()
    page.wait_for_function("Boolean(window.answer)")
    start.click(force=True)
    page.evaluate("window.answer()")
    page.get_by_role("button", name="Stop").click()
    expect(start).to_be_enabled()
    assert contrast(start) >= READABLE
    states = "window.cameras.flatMap((camera) => camera.getTracks().map((track) => track.readyState))"
    assert page.evaluate(states) == ["ended"]
    # Who leaves before the answer has no camera running either.
    page.evaluate("window.answer = null")
    start.click()
    page.wait_for_function("Boolean(window.answer)")
    page.get_by_text("WebRTC", exact=True).click()
    page.get_by_role("img", name="Your webcam").wait_for(state="detached")
    page.evaluate("window.answer()")
    page.wait_for_function("window.cameras.length === 2")
    page.wait_for_function(f"{states}.every((state) => state === 'ended')")
    page.close()


def test_webrtc(page: Page) -> None:
    frame = page.frame_locator("iframe[title*=webrtc]")
    video = frame.locator("video")
    # Twice: what the first connection used serves the second.
    for _ in range(2):
        frame.get_by_role("button", name="Start").click()
        expect(video).to_have_js_property("readyState", 4, timeout=2 * WAIT_MS)
        assert label(page) in EMOTIONS
        # Until the first picture is decoded Chromium shows one of 2x2.
        until(lambda: video.evaluate("video => video.videoWidth && 3 * video.videoWidth == 4 * video.videoHeight"))
        frame.get_by_role("button", name="Stop").click()
        expect(frame.get_by_role("button", name="Start")).to_be_enabled(timeout=WAIT_MS)


def test_where_webrtc_does_not_connect_single_frames_are_sent_instead(chromium: Browser, url: str) -> None:
    page = chromium.new_page()
    page.set_default_timeout(WAIT_MS)
    # Over a relay only, and there is none: as behind a firewall that lets no UDP through.
    page.add_init_script(
        "const Own = RTCPeerConnection; window.RTCPeerConnection = function (options) {"
        " return new Own({ ...options, iceTransportPolicy: 'relay' }); };"
    )
    page.goto(f"{url}/live")
    page.frame_locator("iframe[title*=webrtc]").get_by_role("button", name="Start").click()
    page.get_by_text("WebRTC did not connect, so single frames are sent instead.").wait_for(timeout=3 * WAIT_MS)
    page.get_by_role("button", name="Start").click()
    assert label(page) in EMOTIONS
    page.close()


def test_no_stun_server_is_named_and_nothing_leaves_this_machine(chromium: Browser, url: str) -> None:
    page = chromium.new_page()
    page.set_default_timeout(WAIT_MS)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.add_init_script(
        "const Own = RTCPeerConnection; window.ice = [];"
        "window.RTCPeerConnection = function (options) { top.ice.push(JSON.stringify(options?.iceServers ?? []));"
        " return new Own(options); };"
    )
    page.goto(f"{url}/live")
    frame = page.frame_locator("iframe[title*=webrtc]")
    frame.get_by_role("button", name="Start").click()
    page.wait_for_function("window.ice.length > 0")
    assert page.evaluate("window.ice") == ["[]"]
    assert {each.split("/")[2] for each in asked if "://" in each} == {url.split("/")[2]}
    page.close()
