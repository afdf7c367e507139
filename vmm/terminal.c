/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: raw mode and the signals around it, see terminal.h
 *
 * Handlers use only async-signal-safe calls: tcsetattr(), tcgetpgrp(),
 * getpgrp(), sigaction(), raise(), write(). A SIGBUS that file-map.h can repair
 * is not fatal.
 */
#include "vmm/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/base/eventfd.h"
#include "vmm/base/types.h"
#include "vmm/file-map.h"

/*
 * SIG_YIELDS: only if the program has no handler of its own.
 * SIG_CHAINS: pass on to the handler that was there.
 * SIG_STOPS: job control.
 * SIG_WAKES: the size changed.
 */
enum sig_kind { SIG_YIELDS, SIG_CHAINS, SIG_STOPS, SIG_WAKES };

static const struct {
	int number;
	enum sig_kind kind;
} signals[] = {
	{ SIGHUP, SIG_YIELDS },	 { SIGINT, SIG_YIELDS },
	{ SIGQUIT, SIG_YIELDS }, { SIGTERM, SIG_YIELDS },
	{ SIGSEGV, SIG_CHAINS }, { SIGBUS, SIG_CHAINS },
	{ SIGILL, SIG_CHAINS },	 { SIGFPE, SIG_CHAINS },
	{ SIGABRT, SIG_CHAINS }, { SIGTSTP, SIG_STOPS },
	{ SIGCONT, SIG_STOPS },	 { SIGWINCH, SIG_WAKES },
};

/*
 * @claimed: somebody reads standard input
 * @wanted: raw mode is on, or comes back with SIGCONT
 * @raw: the terminal is raw now
 * @cooked, @modes: its modes before, and raw; written before @wanted is set
 * @before: what handled signals[i]; @hooked: we handle it now
 */
static struct {
	atomic_bool claimed, wanted, raw;
	struct termios cooked, modes;
	int wake_fd;
	struct sigaction before[ARRAY_SIZE(signals)];
	bool hooked[ARRAY_SIZE(signals)];
	bool atexit_done;
} terminal;

bool terminal_background(void)
{
	pid_t owner = tcgetpgrp(STDIN_FILENO);

	/* -1: not our controlling terminal, so job control does not apply. */
	return owner >= 0 && owner != getpgrp();
}

/* tcsetattr() from the background would stop us, if we lost a race. */
static void set_modes(const struct termios *modes)
{
	sigset_t ttou, before;

	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &ttou, &before);
	while (tcsetattr(STDIN_FILENO, TCSANOW, modes) < 0 && errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void make_raw(void)
{
	if (!atomic_load(&terminal.wanted) || terminal_background())
		return;
	set_modes(&terminal.modes);
	atomic_store(&terminal.raw, true);
}

void terminal_restore(void)
{
	int saved = errno;

	if (atomic_exchange(&terminal.raw, false) && !terminal_background())
		set_modes(&terminal.cooked);
	errno = saved;
}

static const struct sigaction *action_before(int number)
{
	static const struct sigaction dfl = { .sa_handler = SIG_DFL };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (signals[i].number == number)
			return &terminal.before[i];
	return &dfl;
}

/*
 * Restore, then let the signal do what it did before: raised here it stays
 * pending until this handler returns; a fault of the CPU just happens again,
 * with all its details for the next handler.
 */
static void on_fatal(int number, siginfo_t *info, void *context)
{
	bool chains = number != SIGHUP && number != SIGINT &&
		      number != SIGQUIT && number != SIGTERM;

	(void)context;
	if (number == SIGBUS && info->si_code == BUS_ADRERR &&
	    file_map_fault(info->si_addr))
		return;
	terminal_restore();
	sigaction(number, action_before(number), NULL);
	if (!chains || info->si_code <= 0)
		(void)raise(number);
}

/* Stop with the terminal given back. SIGSTOP stops all threads right here;
 * on_continue() has run when raise() returns. */
static void on_stop(int number)
{
	int saved = errno;

	(void)number;
	terminal_restore();
	(void)raise(SIGSTOP);
	errno = saved;
}

static void on_resize(int number)
{
	int saved = errno;

	(void)number;
	eventfd_add(terminal.wake_fd, false);
	errno = saved;
}

/* The terminal may have been resized meanwhile. */
static void on_continue(int number)
{
	int saved = errno;

	make_raw();
	on_resize(number);
	errno = saved;
}

static bool yields(size_t i)
{
	const struct sigaction *old = &terminal.before[i];
	bool is_default =
		!(old->sa_flags & SA_SIGINFO) && old->sa_handler == SIG_DFL;

	return signals[i].kind != SIG_CHAINS && !is_default;
}

static struct sigaction action_for(size_t i)
{
	struct sigaction act = { .sa_flags = SA_RESTART };

	if (signals[i].kind == SIG_WAKES) {
		act.sa_handler = on_resize;
	} else if (signals[i].kind == SIG_STOPS) {
		act.sa_handler =
			signals[i].number == SIGTSTP ? on_stop : on_continue;
	} else {
		act.sa_flags |= SA_SIGINFO;
		act.sa_sigaction = on_fatal;
	}
	return act;
}

static void hook_signals(void)
{
	struct sigaction act;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		if (sigaction(signals[i].number, NULL, &terminal.before[i]) < 0)
			continue;
		if (yields(i))
			continue;
		act = action_for(i);
		terminal.hooked[i] =
			sigaction(signals[i].number, &act, NULL) == 0;
	}
}

static bool is_ours(const struct sigaction *act)
{
	if (act->sa_flags & SA_SIGINFO)
		return act->sa_sigaction == on_fatal;
	return act->sa_handler == on_stop || act->sa_handler == on_continue ||
	       act->sa_handler == on_resize;
}

/* Whoever replaced our handler meanwhile keeps his. */
static void unhook_signals(void)
{
	struct sigaction now;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		if (!terminal.hooked[i])
			continue;
		terminal.hooked[i] = false;
		if (sigaction(signals[i].number, NULL, &now) == 0 &&
		    is_ours(&now))
			sigaction(signals[i].number, &terminal.before[i], NULL);
	}
}

bool terminal_claim(void)
{
	return !atomic_exchange(&terminal.claimed, true);
}

bool terminal_raw(int wake_fd)
{
	if (tcgetattr(STDIN_FILENO, &terminal.cooked) < 0)
		return false;
	terminal.modes = terminal.cooked;
	terminal.modes.c_iflag &=
		~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR |
			    ICRNL | IXON);
	terminal.modes.c_lflag &=
		~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	terminal.modes.c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
	terminal.modes.c_cflag |= CS8;
	terminal.modes.c_cc[VMIN] = 1;
	terminal.modes.c_cc[VTIME] = 0;
	terminal.wake_fd = wake_fd;
	hook_signals();
	if (!terminal.atexit_done)
		terminal.atexit_done = atexit(terminal_restore) == 0;
	atomic_store(&terminal.wanted, true);
	make_raw();
	return true;
}

void terminal_release(void)
{
	atomic_store(&terminal.wanted, false);
	terminal_restore();
	unhook_signals();
	atomic_store(&terminal.claimed, false);
}
