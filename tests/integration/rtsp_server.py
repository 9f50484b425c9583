#!/usr/bin/python3
"""A real RTSP camera for tests: GStreamer's server with one stream, on a loopback port of its own choice.

Prints "port N" when it listens, then one line for each thing that happens. Ends with its standard input
(so that it cannot outlive the test), or after --seconds.
"""
import argparse
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402


def size_caps(width, height):
    return "video/x-raw,format=I420,width=%d,height=%d" % (width, height)


def change_size(media, options):
    """While it plays, in the same session: what some cameras do when somebody changes their settings."""
    def change():
        width, height = options.then_size.split("x")
        media.get_element().get_by_name("size").set_property("caps", Gst.Caps.from_string(
            size_caps(int(width), int(height))))
        print("size", options.then_size, flush=True)
    GLib.timeout_add(int(options.then_s * 1000), change)


def launch_line(options):
    raw = "video/x-raw,format=I420,width=%d,height=%d,framerate=%d/1" % (
        options.width, options.height, options.fps)
    source = "videotestsrc is-live=true pattern=%s ! %s" % (options.pattern, raw)
    if options.footage:
        # Coded here, so that its size can change while it plays.
        source = ("filesrc location=%s ! decodebin ! videoconvert ! videoscale ! capsfilter name=size caps=%s"
                  % (options.footage, size_caps(options.width, options.height)))
    if options.file:
        # The coded stream as it is in the file: what a camera of that kind sends.
        return ("( filesrc location=%s ! qtdemux ! h264parse config-interval=-1 "
                "! rtph264pay name=pay0 pt=96 )" % options.file)
    encoders = {
        "h264": "x264enc tune=zerolatency speed-preset=ultrafast bitrate=%d key-int-max=%d "
                "! rtph264pay name=pay0 pt=96 config-interval=1",
        "h264-slices": "x264enc tune=zerolatency sliced-threads=true threads=4 "
                       "speed-preset=ultrafast bitrate=%d key-int-max=%d "
                       "! rtph264pay name=pay0 pt=96 aggregate-mode=zero-latency config-interval=-1",
        "h264-bframes": "x264enc bframes=2 b-adapt=false speed-preset=ultrafast bitrate=%d "
                        "key-int-max=%d ! rtph264pay name=pay0 pt=96",
        "h265": "x265enc tune=zerolatency speed-preset=ultrafast bitrate=%d key-int-max=%d "
                "! rtph265pay name=pay0 pt=96",
    }
    if options.codec == "mjpeg":
        # I420 is forced: the encoder may choose a format that the payloader refuses.
        video = "%s ! jpegenc ! rtpjpegpay name=pay0 pt=26" % source
    elif options.codec == "vp8":
        video = "%s ! vp8enc deadline=1 ! rtpvp8pay name=pay0 pt=96" % source
    else:
        video = "%s ! %s" % (source, encoders[options.codec] % (options.kbps, options.fps))
    if options.audio:
        video += " audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay1 pt=8"
    return "( %s )" % video


def set_up_tls(auth, options):
    if options.tls:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(options.tls))


def set_up_sign_in(server, factory, options):
    auth = GstRtspServer.RTSPAuth()
    set_up_tls(auth, options)
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
    if options.auth == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(options.user, options.password, token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(options.user, options.password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)


def watch_client(_server, client, timeout_s):
    print("client", flush=True)
    if timeout_s > 0:
        client.connect("new-session", lambda _client, session: session.set_timeout(timeout_s))
    client.connect("teardown-request", lambda *_: print("teardown", flush=True))
    client.connect("closed", lambda *_: print("closed", flush=True))
    client.connect("get-parameter-request", lambda *_: print("get-parameter", flush=True))


def forget_sessions(server):
    server.get_session_pool().cleanup()
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--codec", default="h264")
    parser.add_argument("--file")
    parser.add_argument("--footage", help="any video, decoded and coded again")
    parser.add_argument("--then-size", help="WIDTHxHEIGHT of --footage later on")
    parser.add_argument("--then-s", type=float, default=5)
    parser.add_argument("--pattern", default="ball")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--kbps", type=int, default=500)
    parser.add_argument("--audio", action="store_true")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--transport", choices=["tcp", "udp", "both"], default="tcp")
    parser.add_argument("--tls", help="a file with certificate and key: RTSPS")
    parser.add_argument("--shared", action="store_true", help="one encoder for all clients")
    parser.add_argument("--auth", choices=["none", "basic", "digest"], default="none")
    parser.add_argument("--user", default="camera")
    parser.add_argument("--password", default="")
    parser.add_argument("--port", default="0")
    parser.add_argument("--path", default="/live")
    parser.add_argument("--session-timeout", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=300)
    options = parser.parse_args()

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address(options.address)
    server.set_service(options.port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(launch_line(options))
    factory.set_shared(options.shared)
    kinds = {"tcp": GstRtsp.RTSPLowerTrans.TCP, "udp": GstRtsp.RTSPLowerTrans.UDP,
             "both": GstRtsp.RTSPLowerTrans.TCP | GstRtsp.RTSPLowerTrans.UDP}
    factory.set_protocols(kinds[options.transport])
    if options.then_size:
        factory.connect("media-configure", lambda _factory, media: change_size(media, options))
    if options.auth != "none":
        set_up_sign_in(server, factory, options)
    elif options.tls:
        auth = GstRtspServer.RTSPAuth()
        set_up_tls(auth, options)
        token = GstRtspServer.RTSPToken()
        token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
        auth.set_default_token(token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", "media.factory.access", True)
        permissions.add_permission_for_role("viewer", "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory(options.path, factory)
    server.connect("client-connected", watch_client, options.session_timeout)
    if server.attach(None) == 0:
        sys.exit("cannot listen")
    GLib.timeout_add_seconds(1, forget_sessions, server)
    loop = GLib.MainLoop()
    GLib.timeout_add_seconds(options.seconds, loop.quit)
    GLib.io_add_watch(sys.stdin.fileno(), GLib.IO_HUP | GLib.IO_IN, lambda *_: loop.quit())
    print("port", server.get_bound_port(), flush=True)
    loop.run()


main()
