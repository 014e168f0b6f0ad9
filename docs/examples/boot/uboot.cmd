# Which of two slots is started, for the agent's bootloader "uboot" (docs/bootloaders.md). The board defines
#
#   boot_slot    starts ${slot}; it comes back only where that could not be loaded
#   boot_load    reads the state, where it is not in U-Boot's own environment
#   boot_save    keeps it there; saveenv where it is
#
# Compile: mkimage -A arm -T script -C none -n otaru -d uboot.cmd boot.scr
if test -n "${boot_load}"; then run boot_load; fi
if test -z "${boot_save}"; then setenv boot_save saveenv; fi
if test -z "${BOOT_ORDER}"; then setenv BOOT_ORDER "a b"; fi
for slot in ${BOOT_ORDER}; do
  setenv left
  if test ${slot} = a; then setenv left ${BOOT_a_LEFT}; fi
  if test ${slot} = b; then setenv left ${BOOT_b_LEFT}; fi
  if test -z "${left}"; then
    echo "otaru: slot ${slot}"
    run boot_slot
  elif itest 0x${left} -gt 0; then
    setexpr BOOT_${slot}_LEFT 0x${left} - 1
    setenv left
    echo "otaru: slot ${slot} on trial"
    if run boot_save; then run boot_slot; fi
  fi
done
echo "otaru: no slot could be started"
reset
