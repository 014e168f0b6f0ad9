SUMMARY = "Agent that keeps a Linux device up to date"
DESCRIPTION = "Installs signed releases, power-cut safe, and goes back by itself where they are not healthy."
SECTION = "admin"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=4e168cce331e5c827d4c2b68a6200e1b"

# The sdist that `make dist` writes, beside this recipe in a folder `files`.
SRC_URI = " \
    file://otaru-${PV}.tar.gz \
    file://agent.toml \
"
S = "${WORKDIR}/otaru-${PV}"

inherit python_hatchling systemd

SYSTEMD_SERVICE:${PN} = "otaru-agent.service"

do_install:append() {
    install -D -m 0644 ${S}/packaging/systemd/otaru-agent.service ${D}${systemd_system_unitdir}/otaru-agent.service
    install -D -m 0755 ${S}/docs/examples/boot/grub ${D}${libexecdir}/otaru/grub
    install -D -m 0755 ${S}/docs/examples/boot/systemd-boot ${D}${libexecdir}/otaru/systemd-boot
    install -D -m 0644 ${WORKDIR}/agent.toml ${D}${sysconfdir}/otaru/agent.toml
    # The console's pages belong to servers.
    rm -rf ${D}${PYTHON_SITEPACKAGES_DIR}/otaru/apps/console/static ${D}${PYTHON_SITEPACKAGES_DIR}/otaru/apps/console/templates
}

CONFFILES:${PN} = "${sysconfdir}/otaru/agent.toml"

RDEPENDS:${PN} = " \
    ca-certificates \
    python3-core \
    python3-cryptography \
    python3-h11 \
    python3-httpcore \
    python3-httpx \
    python3-lark \
    python3-modules \
    python3-msgspec \
    python3-pydantic-settings \
    python3-rich \
    python3-tuf \
    python3-typer \
"
RRECOMMENDS:${PN} = "libubootenv-bin"
