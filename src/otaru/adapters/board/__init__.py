"""The device: what is done to its disk, its slots and its bootloader, behind `ports.board`."""
