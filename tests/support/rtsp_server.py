"""An RTSP server that plays one H.264 clip for ever, to any number of clients, on request behind a digest password.

Debian's interpreter runs it as a script, because GStreamer's bindings are Debian's:
    /usr/bin/python3 rtsp_server.py PORT CLIP [USER PASSWORD]
"""

import sys
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

H264 = "video/x-h264,stream-format=byte-stream,alignment=au"
SENDER = (
    f"( appsrc name=source is-live=true format=time do-timestamp=true block=false max-bytes=4000000 caps={H264}"
    " ! rtph264pay name=pay0 pt=96 config-interval=1 )"
)
READER = (
    "filesrc name=file ! qtdemux ! h264parse config-interval=-1"
    f" ! {H264} ! appsink name=out emit-signals=true sync=true max-buffers=5"
)


class Looped(GstRtspServer.RTSPMediaFactory):  # type: ignore[misc] # the bindings have no types
    """One live pipeline that all clients share, fed by a second pipeline that begins again at the clip's end."""

    def __init__(self, clip: str) -> None:
        super().__init__()
        self.clip = clip
        self.reader: Any = None
        self.set_shared(True)
        self.set_launch(SENDER)
        self.connect("media-configure", self.configure)

    def configure(self, _factory: Any, media: Any) -> None:
        self.source = media.get_element().get_by_name_recurse_up("source")
        self.feed()

    def feed(self) -> None:
        if self.reader is not None:
            # That of the last client may still play: freed like that, GStreamer crashes.
            self.reader.get_bus().remove_signal_watch()
            self.reader.set_state(Gst.State.NULL)
        self.reader = Gst.parse_launch(READER)
        self.reader.get_by_name("file").set_property("location", self.clip)
        self.reader.get_by_name("out").connect("new-sample", self.push)
        bus = self.reader.get_bus()
        bus.add_signal_watch()
        bus.connect("message::eos", self.again, self.reader)
        self.reader.set_state(Gst.State.PLAYING)

    def again(self, _bus: Any, _message: Any, reader: Any) -> None:
        # Another client may have begun a new one meanwhile.
        if reader is self.reader:
            self.feed()

    def push(self, out: Any) -> Any:
        sample = out.emit("pull-sample").get_buffer()
        self.source.emit("push-buffer", sample.copy_region(Gst.BufferCopyFlags.MEMORY, 0, sample.get_size()))
        return Gst.FlowReturn.OK


def protect(server: Any, factory: Any, user: str, password: str) -> None:
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token.set_string("media.factory.role", "user")
    auth.add_digest(user, password, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("user", "media.factory.access", True)
    permissions.add_permission_for_role("user", "media.factory.construct", True)
    factory.set_permissions(permissions)


def main(port: str, clip: str, *login: str) -> None:
    Gst.init(None)
    server, factory = GstRtspServer.RTSPServer(), Looped(clip)
    server.set_address("127.0.0.1")
    server.set_service(port)
    if login:
        protect(server, factory, *login)
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
