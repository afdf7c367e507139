/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: diag - why something failed, as one sentence or as a chain
 *
 * Every function that can fail because of the host or the user returns
 * 0 or -errno and takes a `struct diag *`, to which it adds its part of the
 * story, cause first. Callers add context as the error travels up. main()
 * prints the chain as one sentence (context: … : cause); the API returns it
 * as a JSON array of strings, context first (Cloud Hypervisor's shape).
 *
 * A message names the option or object, the offending value, and the limit or
 * the remedy, without a full stop: "--cpus boot=0: must be 1 to 4096".
 *
 * Threads: a diag belongs to one thread at a time. Nothing here allocates, so
 * errors can be reported when memory is short; over-long texts are cut.
 */
#ifndef VMM_BASE_DIAG_H
#define VMM_BASE_DIAG_H

#define DIAG_DEPTH 6
#define DIAG_TEXT  320

/**
 * struct diag - the chain of messages of one failure
 * @depth: number of messages; 0 means nothing failed
 * @text: messages, cause first
 */
struct diag {
	unsigned depth;
	char text[DIAG_DEPTH][DIAG_TEXT];
};

/** DIAG_INIT - an empty diag */
#define DIAG_INIT ((struct diag){ .depth = 0 })

/**
 * diag_fail - add a message and return the error
 * @d: the chain; NULL drops the message
 * @err: a positive errno value
 * @fmt: printf format of the message
 *
 * The first call names the cause, later calls add context. A full chain
 * replaces its last message, so that cause and outermost context survive.
 *
 * Return: -@err, for `return diag_fail(d, EINVAL, "…")`.
 */
__attribute__((format(printf, 3, 4))) int diag_fail(struct diag *d, int err,
						    const char *fmt, ...);

/** diag_errno - like diag_fail(), with ": " and strerror(@err) behind it */
__attribute__((format(printf, 3, 4))) int diag_errno(struct diag *d, int err,
						     const char *fmt, ...);

/**
 * diag_format - the chain as one sentence, context first, joined by ": "
 * @d: the chain
 * @buf: receives the text, always NUL-terminated
 * @size_bytes: size of @buf, at least 1
 *
 * Return: @buf.
 */
const char *diag_format(const struct diag *d, char *buf,
			unsigned long size_bytes);

#endif
