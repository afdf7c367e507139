/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: log - what happened, for the operator
 *
 * Levels are named for who must act: LOG_ERROR the operator, now;
 * LOG_WARN the operator, some day; LOG_INFO nobody; LOG_DEBUG a developer.
 * What a guest does can never cause more than LOG_WARN, and never without a
 * limit: log_guest() says each thing once per call site and counts the rest.
 *
 * A pipe or terminal that takes nothing for LOG_PATIENCE_MS loses the line:
 * the log never stops a machine.
 *
 * Threads: any thread may log; one line is one write(2). The sink is process
 * wide (as stderr is) and set once by main() before other threads start.
 */
#ifndef VMM_BASE_LOG_H
#define VMM_BASE_LOG_H

#include <stdatomic.h>

#define LOG_PATIENCE_MS 20

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/**
 * log_setup - choose sink and level; only main() calls it, once
 * @fd: file descriptor that receives the lines, owned by the caller
 * @level: the most talkative level that is written
 */
void log_setup(int fd, enum log_level level);

/** log_line - write one line; @fmt without newline */
__attribute__((format(printf, 2, 3))) void log_line(enum log_level level,
						    const char *fmt, ...);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/**
 * log_guest - a guest misbehaved: say so once per place, then only count
 * @counter: an atomic_uint that belongs to the device instance
 */
#define log_guest(counter, ...)                                           \
	do {                                                              \
		if (atomic_fetch_add_explicit((counter), 1,               \
					      memory_order_relaxed) == 0) \
			log_line(LOG_WARN, __VA_ARGS__);                  \
	} while (0)

#endif
