/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: eventfds: counters that wake who waits for them
 *
 * Flags like O_NONBLOCK belong to the open file, not to the descriptor: a
 * program that was sent an eventfd of ours can clear them, and read() of a
 * counter that is zero or write() to one that is full then waits for ever.
 * Nothing here does. Linux 5.8 or later.
 *
 * Limit: no system call adds to a counter without waiting. So it is looked at
 * first, and who fills it right after that, and neither reads it nor ends,
 * holds the writer up.
 *
 * Threads: any.
 */
#ifndef VMM_BASE_EVENTFD_H
#define VMM_BASE_EVENTFD_H

#include <stdbool.h>

/** eventfd_take - set the counter of @fd to zero. Return: 0; -EAGAIN: it was
 * zero; or -errno of preadv2(2) */
int eventfd_take(int fd);

/** eventfd_add - add one to the counter of @fd, unless it is full, which says
 * the same; @shared: somebody else has it */
void eventfd_add(int fd, bool shared);

#endif
