/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: choice of the hypervisor back end, see host.h */
#include "vmm/host/host.h"

#include <errno.h>
#include <string.h>

static const struct host_ops *const hosts[] = {
	&host_kvm,
#ifdef CONFIG_HOST_FAKE
	&host_fake,
#endif
};

/* "auto" takes the first one that works and is not a toy. */
static bool automatic(const struct host_ops *ops)
{
	return strcmp(ops->name, "fake") != 0;
}

static int refuse_software(const struct host_ops *ops,
			   const struct host_caps *caps, struct diag *d)
{
	if (!caps->software)
		return 0;
	return diag_fail(d, ENOTSUP,
			 "/dev/%s here emulates every guest instruction (PVM: "
			 "the CPU offers neither VMX nor SVM) and cannot boot "
			 "Linux: run inside an emulated server, or give "
			 "--hypervisor %s for small payloads",
			 ops->name, ops->name);
}

static int try(const struct host_ops *ops, bool any, struct host_caps *caps,
	       struct diag *d)
{
	struct host_caps found;
	int err = ops->probe(&found, d);

	if (!err && !any)
		err = refuse_software(ops, &found, d);
	if (!err)
		*caps = found;
	return err;
}

const struct host_ops *host_select(const char *name, struct host_caps *caps,
				   struct diag *d)
{
	bool any;

	name = name ? name : "auto";
	any = strcmp(name, "auto") != 0;

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		if (any ? strcmp(name, hosts[i]->name) != 0
			: !automatic(hosts[i]))
			continue;
		if (!try(hosts[i], any, caps, d))
			return hosts[i];
		if (any)
			return NULL;
	}
	if (!d->depth)
		diag_fail(d, EINVAL,
			  "--hypervisor %s: this build has no such back end",
			  name);
	return NULL;
}
