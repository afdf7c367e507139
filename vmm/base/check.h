/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: CHECK - a broken invariant of our own, always compiled in
 *
 * Never for anything that a guest, a user, a file or the host can cause.
 */
#ifndef VMM_BASE_CHECK_H
#define VMM_BASE_CHECK_H

/** check_failed - print the broken invariant and abort; async-signal-safe */
__attribute__((noreturn, cold)) void check_failed(const char *what,
						  const char *file, int line);

#define CHECK(cond)                                              \
	do {                                                     \
		if (__builtin_expect(!(cond), 0))                \
			check_failed(#cond, __FILE__, __LINE__); \
	} while (0)

#endif
