/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the terminal on standard input: raw while a guest runs, then restored
 *
 * The terminal belongs to the process, as its signals do, so this is the one
 * place with state of file scope: signal handlers and atexit() can reach
 * nothing else. At most one character back end holds standard input at a
 * time; what further machines in the process print is output only.
 *
 * Raw mode: no echo, no line editing, no signals from keys, 8 bits; output
 * processing stays as it was, so that log lines keep their carriage returns.
 *
 * The terminal is given back
 *	- by terminal_release() and at exit();
 *	- before the process dies of SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGSEGV,
 *	  SIGBUS, SIGILL, SIGFPE or SIGABRT. A handler that the program has for
 *	  one of the first four stays in charge, and its way out must call
 *	  terminal_restore() or exit(); SIGSEGV and the like are passed on to
 *	  the handler that was there before;
 *	- while the process is stopped by SIGTSTP. SIGCONT makes it raw again.
 * SIGWINCH wakes the reader, who asks for the new size; a handler that the
 * program has for it stays in charge.
 * Only SIGKILL and SIGSTOP leave it raw (`reset` or `stty sane` helps).
 *
 * A process in the background never touches the terminal's modes.
 */
#ifndef VMM_TERMINAL_H
#define VMM_TERMINAL_H

#include <stdbool.h>

/**
 * terminal_claim - become the one reader of standard input; main thread
 *
 * Return: true, or false if somebody else is already.
 */
bool terminal_claim(void);

/**
 * terminal_raw - make standard input raw, if it is a terminal
 * @wake_fd: eventfd, written (from a signal handler) when the process was
 *	continued after a stop or the terminal has another size; the caller's,
 *	open until terminal_release()
 *
 * Only after terminal_claim(). Main thread.
 *
 * Return: true if standard input is a terminal, also when it cannot be made
 * raw yet because this process is in the background.
 */
bool terminal_raw(int wake_fd);

/** terminal_background - true if reading standard input would stop this
 * process, because the terminal belongs to another job; any thread */
bool terminal_background(void);

/** terminal_release - restore, undo terminal_claim(), put the signal handlers
 * back; main thread */
void terminal_release(void);

/** terminal_restore - give the terminal back now; async-signal-safe; does
 * nothing if it is not raw */
void terminal_restore(void);

#endif
