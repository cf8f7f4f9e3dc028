"""The figures of a capture, and the events of its pictures and its clock."""

from fer_model.sources.live.watching import SETTLED_S, Tally, Watch

SIZE = (640, 360)


def test_of_pictures_that_were_not_decoded_the_share_counts_that_is_asked_for() -> None:
    tally = Tally(fps=5)
    for _ in range(25):  # of one second
        tally.arrived(1)
    tally.skip("stale", 10)
    tally.want()
    tally.skip_chosen("overload")
    figures = tally.figures("live", 3, "rtcp", 25.0)
    assert figures.captured == 25 and figures.capture_fps == 25
    assert figures.skipped == {"stale": 2, "decode": 0, "overload": 1} and figures.wanted == 3
    every = Tally(fps=None)
    every.skip("decode", 7)
    assert every.figures("live", 0, None, None).skipped["decode"] == 7


def test_the_clock_is_noted_when_it_changes_and_not_at_each_connection() -> None:
    noted: list[str] = []
    watch = Watch(lambda kind, detail: noted.append(f"{kind}: {detail}"))
    watch.see(0, SIZE, "arrival", None)
    assert watch.clock == "arrival" and noted == []
    watch.see(3, SIZE, "rtcp", None)
    watch.see(100, SIZE, "rtcp", None)
    watch.see(101, SIZE, "arrival", None)  # connected again: no report yet
    watch.see(104, SIZE, "rtcp", None)
    assert noted == ["clock: times are those of the source's own clock (RTCP)"]
    for moment in (105.0, 105.0 + SETTLED_S):
        watch.see(moment, SIZE, "arrival", 3600.0)
    assert noted[1:] == [
        "clock: the source's clock is off by 3600.0 s and is not used",
        "clock: times are those of arrival: the source's own clock is not known",
    ]
    assert watch.clock == "arrival"


def test_sizes_that_alternate_are_not_noted_with_each_picture() -> None:
    noted: list[str] = []
    watch = Watch(lambda kind, detail: noted.append(detail))
    for number in range(250):
        watch.see(10 + number * 0.04, SIZE if number % 2 else (320, 180), "arrival", None)
    assert 8 <= len(noted) <= 10 and noted[0] == "the picture is 640x360 now, and was 320x180"
