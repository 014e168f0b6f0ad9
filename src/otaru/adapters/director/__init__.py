"""The director's signer: in a process of its own (`process`), or here, where no other process is worth it (`local`)."""
