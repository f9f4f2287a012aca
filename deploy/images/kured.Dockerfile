# Kured with our programs beside it, for who wants one image in Kured's pods:
# its init container, too, can be run from this one. Needs no build context:
#   docker build - <deploy/images/kured.Dockerfile
ARG KURED=ghcr.io/kubereboot/kured:1.23.0
ARG PROGRAMS=ghcr.io/bottlerocket-updater/bottlerocket-updater:v0.1.0
FROM ${PROGRAMS} AS programs

FROM ${KURED}
# The last one installs the other two on the host, where Kured runs them.
COPY --from=programs \
    /usr/local/bin/bottlerocket-checker \
    /usr/local/bin/bottlerocket-reboot \
    /usr/local/bin/bottlerocket-install \
    /usr/local/bin/
