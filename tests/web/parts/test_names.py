"""Names by which visitors choose."""

from web.parts.names import folder_name, told_apart


def test_equal_labels_get_what_tells_them_apart_and_others_stay() -> None:
    paths = ["/a/x/clip.mp4", "/b/x/clip.mp4", "/a/y/clip.mp4", "/a/x/talk.mp4"]
    labels = dict(enumerate(["clip.mp4", "clip.mp4", "clip.mp4", "talk.mp4"]))
    found = told_apart(labels, lambda key: folder_name(paths[key]), lambda key: f"{key:05d}")
    assert found == {0: "clip.mp4 · x · 00000", 1: "clip.mp4 · x · 00001", 2: "clip.mp4 · y", 3: "talk.mp4"}
    assert told_apart({"a1": "test", "b2": "test"}, lambda key: key[-1:], str) == {"a1": "test · 1", "b2": "test · 2"}


def test_the_folder_of_an_address_is_one_printable_line() -> None:
    assert folder_name("https://example.org/my%20talks/a.mp4") == "my talks"
    assert folder_name("a.mp4") == ""
