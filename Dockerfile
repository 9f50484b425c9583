# The container image. BASE can be replaced by any Debian 12 image.
#
#   docker build -t sightline .
#   docker run -p 8080:8080 -v data:/data sightline
#
# The first start prints a token to sign in with. Cameras and everything else:
# /data/sightline.yml, which the first start writes with comments.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
        build-essential cmake ninja-build pkg-config ca-certificates nodejs npm \
        libuv1-dev libwebsockets-dev libavformat-dev libavcodec-dev libavutil-dev \
        libswscale-dev libdnnl-dev libprotobuf-c-dev protobuf-c-compiler protobuf-compiler \
        libyaml-dev libjansson-dev liblmdb-dev libhiredis-dev libssl-dev libcurl4-openssl-dev \
        libsodium-dev libexpat1-dev \
        libseccomp-dev \
    && rm -rf /var/lib/apt/lists/*
COPY . /source
WORKDIR /source
RUN cmake --preset release && cmake --build --preset release --target sightline \
    && strip build/release/bin/sightline build/release/bin/sightline-decode

FROM ${BASE}
# What the program links, and nothing else. libwebsockets loads its libuv part at run time.
RUN apt-get update && apt-get install -y --no-install-recommends \
        libuv1 libwebsockets17 libwebsockets-evlib-uv libavformat59 libavcodec59 libavutil57 \
        libswscale6 libdnnl2 libprotobuf-c1 libyaml-0-2 libjansson4 liblmdb0 libhiredis0.14 \
        libssl3 libcurl4 libsodium23 libexpat1 libseccomp2 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --home-dir /data --shell /usr/sbin/nologin sightline \
    && mkdir /data && chown sightline:sightline /data && chmod 0700 /data
COPY --from=build /source/build/release/bin/sightline /source/build/release/bin/sightline-decode /usr/bin/
COPY --from=build /source/gpu/models/default.onnx /usr/share/sightline/default.onnx
COPY --from=build /source/config/container/sightline.yml /usr/share/sightline/first.yml
COPY --from=build /source/config/container/start /usr/share/sightline/start
USER sightline
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["/usr/bin/sightline", "health"]
ENTRYPOINT ["/usr/share/sightline/start"]
