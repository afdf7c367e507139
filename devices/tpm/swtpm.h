/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: swtpm: a TPM in another process
 *
 * swtpm listens on a UNIX socket for control commands (big-endian, swtpm's
 * tpm_ioctl.h); commands for the TPM go over a second socket, of which we
 * make both ends and send it one. Control commands are short and answered at
 * once: they block, for at most SWTPM_PATIENCE_S. Commands for the TPM may
 * take seconds: they never block, the answer arrives on the event loop.
 *
 * The other process is not trusted: lengths are checked, a silent or broken
 * one is given up with a sentence, and the guest sees a TPM that fails.
 *
 * Threads: swtpm_open(), swtpm_reset() and swtpm_close() on the main thread;
 * the rest from any one thread at a time (the device's lock).
 */
#ifndef DEVICES_TPM_SWTPM_H
#define DEVICES_TPM_SWTPM_H

#include "vmm/base/diag.h"
#include "vmm/base/types.h"
#include "vmm/event.h"

#define SWTPM_PATIENCE_S 5

/** SWTPM_BUFFER_MAX - most bytes of a command or answer: the CRB's buffer */
#define SWTPM_BUFFER_MAX 3968

/**
 * struct swtpm - a connection
 * @control: socket for control commands
 * @data: socket for commands, watched on @loop; fd -1: given up
 * @answered: called on the event loop with an answer: @len bytes, or 0: there
 *	will be none any more
 * @opaque: passed to it
 * @answer: bytes of the answer so far, @have of them
 */
struct swtpm {
	int control;
	struct event_source data;
	struct event_loop *loop;
	void (*answered)(void *opaque, const uint8_t *answer, size_t len);
	void *opaque;
	uint8_t answer[SWTPM_BUFFER_MAX];
	size_t have;
};

/**
 * swtpm_open - connect and initialise the TPM
 * @path: swtpm's control socket
 *
 * Return: 0, or -errno and @d: nobody there (the sentence says how to start
 * swtpm), no answer in time, an answer that is an error.
 */
int swtpm_open(struct swtpm *t, const char *path, struct event_loop *loop,
	       void (*answered)(void *opaque, const uint8_t *answer,
				size_t len),
	       void *opaque, struct diag *d);

/** swtpm_close - accepts a zeroed or closed connection */
void swtpm_close(struct swtpm *t);

/** swtpm_reset - power-cycle the TPM; an answer on its way is dropped.
 * Return: 0 or -errno: then it is given up */
int swtpm_reset(struct swtpm *t, struct diag *d);

/** swtpm_send - give it a command of @len bytes; the answer comes later.
 * Return: false if it cannot take one */
bool swtpm_send(struct swtpm *t, const uint8_t *command, size_t len);

/** swtpm_cancel - ask to end the command it works on; it still answers */
void swtpm_cancel(struct swtpm *t);

#endif
