# The four programs and the licence. scripts/release/build-images builds this, for both
# architectures, from a context that has what cargo built:
#   LICENSE  amd64/bottlerocket-*  arm64/bottlerocket-*
FROM scratch
ARG TARGETARCH
COPY LICENSE /usr/share/licenses/bottlerocket-updater/
COPY ${TARGETARCH}/bottlerocket-* /usr/local/bin/
LABEL org.opencontainers.image.title="bottlerocket-updater" \
      org.opencontainers.image.description="Keeps Bottlerocket nodes of a Kubernetes cluster up to date, together with Kured" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.source="https://github.com/bottlerocket-updater/bottlerocket-updater"
# Nobody, in the group that owns the socket of the node's API. In numbers, for
# want of an /etc/passwd, and since Kubernetes cannot tell of a name that it is
# not root's.
USER 65532:274
ENTRYPOINT ["/usr/local/bin/bottlerocket-updater"]
