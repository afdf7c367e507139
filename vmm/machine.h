/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the machine: everything one guest runs on
 *
 *	configuration --> layout --> devices --> platform description
 *	                                              |
 *	hypervisor VM <-- RAM, vCPUs <----------------+--> tables, kernel
 *
 * machine_new() assembles what does not depend on a hypervisor's VM: the
 * platform, buses, devices. machine_run() makes the VM, loads the guest, runs
 * it, and makes everything anew when the guest resets itself.
 *
 * Several machines can live in one process.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include "arch/arch.h"
#include "vmm/base/diag.h"
#include "vmm/config.h"
#include "vmm/host/host.h"

struct machine;

/** enum machine_end - how a run ended, when nothing failed */
enum machine_end {
	MACHINE_ENDED_POWEROFF,
	MACHINE_ENDED_PANIC,	  /* the guest reported a kernel panic */
	MACHINE_ENDED_TERMINATED, /* machine_signal(): asked to end */
};

/**
 * machine_new - assemble a machine
 * @out: receives it
 * @cfg: checked configuration; must outlive the machine
 * @arch: the architecture
 * @host: the back end, or NULL for a machine that only makes tables
 * @caps: what the back end can do
 *
 * Return: 0, or -errno and @d; nothing is left behind.
 */
int machine_new(struct machine **out, const struct vm_config *cfg,
		const struct arch *arch, const struct host_ops *host,
		const struct host_caps *caps, struct diag *d);

/** machine_free - end the machine; accepts NULL; not while it runs */
void machine_free(struct machine *m);

/**
 * machine_run - boot and run until the guest ends
 * @end: receives how it ended
 *
 * Runs the event loop on the calling thread.
 *
 * Return: 0 and *@end, or -errno and @d when the machine could not be started
 * or a vCPU cannot go on.
 */
int machine_run(struct machine *m, enum machine_end *end, struct diag *d);

/** machine_signal - SIGTERM and friends, from any thread or a signal handler:
 * the first call presses the power button and gives the guest ten seconds,
 * the second ends the machine at once */
void machine_signal(struct machine *m);

/**
 * machine_tables - the tables that a configuration gets, without running it
 * @here: with the limits, features and caches that the hypervisor of this host
 *	has, which must be of @arch; else with generous ones, so that the result
 *	does not depend on this host
 * @out: receives them; release with arch_tables_release()
 */
int machine_tables(const struct arch *arch, const struct vm_config *cfg,
		   bool here, struct arch_tables *out, struct diag *d);

/**
 * machine_main - run one machine as a program: choose the back end, watch
 * SIGTERM, SIGINT and SIGHUP, run
 */
int machine_main(const struct vm_config *cfg, enum machine_end *end,
		 struct diag *d);

#endif
