/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: --vsock */
#include <errno.h>
#include <string.h>

#include "vmm/config-impl.h"
#include "vmm/unix-socket.h"

/* vsock(7): 0 to 2 are the hypervisor, local and the host, the last is any. */
#define CID_MIN 3
#define CID_MAX 0xfffffffeULL

/* The guest's connection to port N is made to the socket at "PATH_N". */
#define PORT_BYTES_MAX (sizeof("_4294967295") - 1)

static const struct schema_key keys[] = {
	{ .name = "cid",
	  .type = SCHEMA_U32,
	  .optional = true,
	  .offset = ITEM_AT(vsock_config, cid),
	  .min = CID_MIN,
	  .max = CID_MAX,
	  .doc = "the guest's address (context ID)",
	  SINCE },
	{ .name = "socket",
	  .type = SCHEMA_PATH,
	  .offset = ITEM_AT(vsock_config, socket),
	  .doc = "UNIX socket where programs reach the guest: CONNECT PORT; "
		 "the guest's connections go to this name with _PORT behind it",
	  SINCE },
	{ .name = "vhost",
	  .type = SCHEMA_BOOL,
	  .offset = ITEM_AT(vsock_config, vhost),
	  .preset = "off",
	  .doc = "the kernel's vhost-vsock instead of socket=: the host's "
		 "programs use AF_VSOCK too",
	  SINCE },
	PCI_KEYS(vsock_config),
};

const struct schema_option vsock_option = {
	.name = "vsock",
	.group = "Devices",
	ITEMS(vsock, vsock_count, vsock_config, 1),
	.id_prefix = "_vsock",
	KEYS(keys),
	.later = LATER_DEVICE,
	.doc = "virtio sockets: streams between the guest's programs and the "
	       "host's",
	MACHINE,
};

int check_vsock(const struct vm_config *c, struct diag *d)
{
	const struct vsock_config *v = c->vsock;
	const size_t most = UNIX_PATH_MAX_BYTES - PORT_BYTES_MAX;

	if (!c->vsock_count)
		return 0;
	if (!v->cid)
		return diag_fail(d, EINVAL,
				 "--vsock: needs cid=, 3 to 4294967294");
	if (v->vhost)
		return v->socket ? diag_fail(d, EINVAL,
					     "--vsock vhost=on: has no socket: "
					     "leave out socket=, or vhost=on")
				 : 0;
	if (!v->socket)
		return diag_fail(d, EINVAL,
				 "--vsock: needs socket=PATH, or vhost=on");
	if (strlen(v->socket) > most)
		return diag_fail(d, EINVAL,
				 "--vsock socket=%s: longer than %zu bytes, "
				 "which leave room for _PORT",
				 v->socket, most);
	return 0;
}
