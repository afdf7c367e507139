/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: `spandrel doctor`: what this host offers, what is missing, what to do
 *
 * A list of findings in sections, one per part of the host. Only reads.
 */
#ifndef VMM_DOCTOR_H
#define VMM_DOCTOR_H

#include <stdio.h>

#include "vmm/host/host.h"

/**
 * struct doctor_source - where the facts come from; tests make their own
 * @root: put in front of /proc, /sys and /dev paths: ""
 * @arch: name of the architecture that this program was built for
 * @select: host_select()
 */
struct doctor_source {
	const char *root;
	const char *arch;
	const struct host_ops *(*select)(const char *name,
					 struct host_caps *caps,
					 struct diag *d);
};

/**
 * doctor_report - look at everything and print it
 * @out: receives text or, with @json, one JSON object
 *
 * Return: true if guests can run on this host.
 */
bool doctor_report(const struct doctor_source *src, bool json, FILE *out);

#endif
