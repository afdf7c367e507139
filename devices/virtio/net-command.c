/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: commands of a network card's control queue (VIRTIO 1.3 sec. 5.1.6.5)
 *
 * The queue, for whoever knows the commands: our own card, and the front end
 * of one that a vhost-user back end serves. A command is copied once.
 */
#include "devices/virtio/net-impl.h"

enum { ACK_OK = 0, ACK_ERR = 1 };

/* Return: false if it is too short to be one. */
static bool parse(const struct virtq_chain *chain, struct net_command *c)
{
	uint8_t code[NET_COMMAND_BYTES];

	*c = (struct net_command){ .iov = chain->iov,
				   .iov_count = chain->out_count };
	if (iov_read(c->iov, c->iov_count, 0, code, sizeof(code)) !=
	    sizeof(code))
		return false;
	c->class = code[0];
	c->command = code[1];
	c->bytes = chain->out_bytes - sizeof(code);
	iov_read(c->iov, c->iov_count, sizeof(code), c->data, sizeof(c->data));
	return true;
}

void net_commands(struct virtio_device *vd, unsigned queue, net_command_fn *run)
{
	struct virtq_chain chain;
	unsigned taken = 0;

	while (virtio_more(vd, queue, &taken) &&
	       virtio_pop(vd, queue, &chain)) {
		uint8_t ack = ACK_ERR;
		struct net_command c;

		if (!chain.in_bytes) {
			virtio_push(vd, queue, &chain, 0);
			virtio_misused(vd, "a command has no room for its "
					   "answer");
			break;
		}
		if (parse(&chain, &c) && run(vd, &c))
			ack = ACK_OK;
		iov_write(chain.iov + chain.out_count, chain.in_count, 0, &ack,
			  sizeof(ack));
		virtio_push(vd, queue, &chain, sizeof(ack));
	}
	virtio_done(vd, queue);
}
