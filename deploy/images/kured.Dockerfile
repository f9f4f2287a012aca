# Kured's image plus this project's programs. Use it if all containers of Kured's
# pods should run from one image, including the init container. The build needs no
# context:
#   docker build - <deploy/images/kured.Dockerfile
ARG KURED=ghcr.io/kubereboot/kured:1.23.0
ARG PROGRAMS=ghcr.io/bottlerocket-updater/bottlerocket-updater:v0.1.0
FROM ${PROGRAMS} AS programs

FROM ${KURED}
# Kured runs the checker and the reboot program on the host. bottlerocket-install
# copies them there. The gate is the last init container.
COPY --from=programs \
    /usr/local/bin/bottlerocket-checker \
    /usr/local/bin/bottlerocket-reboot \
    /usr/local/bin/bottlerocket-gate \
    /usr/local/bin/bottlerocket-install \
    /usr/local/bin/
