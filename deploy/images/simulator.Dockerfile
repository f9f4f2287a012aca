# The simulated node, for deploy/overlays/simulated: never for a real node.
# scripts/release/build-images --simulator builds this image for both architectures,
# from a context with these files:
#   LICENSE  amd64/bottlerocket-simulator  arm64/bottlerocket-simulator
FROM scratch
ARG TARGETARCH
COPY LICENSE /usr/share/licenses/bottlerocket-updater/
COPY ${TARGETARCH}/bottlerocket-simulator /usr/local/bin/
LABEL org.opencontainers.image.title="bottlerocket-simulator" \
      org.opencontainers.image.description="Serves the update API of a simulated Bottlerocket node, to try bottlerocket-updater in any cluster" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.source="https://github.com/bottlerocket-updater/bottlerocket-updater"
# The user of the other image. The DaemonSet runs the simulator as root, which owns the
# directories on the node. The socket gets the group of the process.
USER 65532:274
ENTRYPOINT ["/usr/local/bin/bottlerocket-simulator"]
