# The five programs and the licence. scripts/release/build-images builds this image
# for both architectures, from a context with these files:
#   LICENSE  amd64/bottlerocket-*  arm64/bottlerocket-*
FROM scratch
ARG TARGETARCH
COPY LICENSE /usr/share/licenses/bottlerocket-updater/
COPY ${TARGETARCH}/bottlerocket-* /usr/local/bin/
LABEL org.opencontainers.image.title="bottlerocket-updater" \
      org.opencontainers.image.description="Updates the Bottlerocket nodes of a Kubernetes cluster, together with Kured" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.source="https://github.com/bottlerocket-updater/bottlerocket-updater"
# An unprivileged user, in the group that owns the API's socket on the node. The
# image has no /etc/passwd, so these are numbers. Kubernetes also needs a number to
# verify runAsNonRoot.
USER 65532:274
ENTRYPOINT ["/usr/local/bin/bottlerocket-updater"]
