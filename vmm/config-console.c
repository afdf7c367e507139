/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: --console-port: its keys and the rules inside of one */
#include <errno.h>
#include <string.h>

#include "vmm/config-impl.h"

static const struct schema_choice port_words[] = {
	{ .name = "null", .value = CHAR_NULL },
	{ .name = "pty", .value = CHAR_PTY },
};

static const struct schema_key console_port_keys[] = {
	{ .type = SCHEMA_ENUM,
	  .offset = ITEM_AT(console_port_config, back.mode),
	  CHOICES(port_words),
	  .doc = "swallows output; a new pseudo-terminal, whose name -v logs",
	  SINCE },
	{ .name = "file",
	  .type = SCHEMA_PATH,
	  .offset = ITEM_AT(console_port_config, back.file),
	  .selects = CHAR_FILE,
	  .selects_offset = ITEM_AT(console_port_config, back.mode),
	  .doc = "file for output, created or truncated",
	  SINCE },
	{ .name = "socket",
	  .type = SCHEMA_PATH,
	  .offset = ITEM_AT(console_port_config, back.socket),
	  .selects = CHAR_SOCKET,
	  .selects_offset = ITEM_AT(console_port_config, back.mode),
	  .doc = "UNIX socket to listen on; one client at a time",
	  SINCE },
	{ .name = "name",
	  .type = SCHEMA_STRING,
	  .aside = true,
	  .offset = ITEM_AT(console_port_config, name),
	  .doc = "what it is called in the guest: /dev/virtio-ports/NAME",
	  SINCE },
};

const struct schema_option console_port_option = {
	.name = "console-port",
	.group = "Devices",
	ITEMS(console_port, console_port_count, console_port_config,
	      CONSOLE_PORTS_MAX),
	.one_of = true,
	KEYS(console_port_keys),
	.doc = "one more port of the virtio console",
	MACHINE,
};

/* A file name for udev, which makes a link of it. */
static int check_name(const char *name, struct diag *d)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";

	if (!name)
		return diag_fail(d, EINVAL,
				 "--console-port: needs name=, what it is "
				 "called in the guest");
	if (strlen(name) > CONFIG_ID_MAX)
		return diag_fail(d, EINVAL,
				 "--console-port name=%.60s...: longer than %d "
				 "characters",
				 name, CONFIG_ID_MAX);
	if (name[strspn(name, allowed)] || name[0] == '.')
		return diag_fail(d, EINVAL,
				 "--console-port name=%s: may have letters, "
				 "digits and . _ - only, and no . in front",
				 name);
	return 0;
}

static int check_twin(const struct console_port_config *a,
		      const struct console_port_config *b, struct diag *d)
{
	if (!strcmp(a->name, b->name))
		return diag_fail(d, EINVAL,
				 "--console-port name=%s: another "
				 "--console-port has this name already",
				 a->name);
	return check_char_pair(&a->back, "--console-port", &b->back,
			       "another --console-port", d);
}

static int check_port(const struct vm_config *c, unsigned index, struct diag *d)
{
	const struct console_port_config *p = &c->console_port[index];
	int ret = check_name(p->name, d);

	if (!ret && p->back.mode == CHAR_OFF)
		ret = diag_fail(d, EINVAL,
				"--console-port name=%s: needs one of null, "
				"pty, file= and socket=",
				p->name);
	for (unsigned i = 0; i < index && !ret; i++)
		ret = check_twin(p, &c->console_port[i], d);
	if (!ret)
		ret = check_char_pair(&p->back, "--console-port", &c->console,
				      "--console", d);
	if (!ret)
		ret = check_char_pair(&p->back, "--console-port", &c->serial,
				      "--serial", d);
	if (!ret && c->debug_console_count)
		ret = check_char_pair(&p->back, "--console-port",
				      &c->debug_console->out, "--debug-console",
				      d);
	return ret;
}

int check_console_ports(const struct vm_config *c, struct diag *d)
{
	int ret = 0;

	for (unsigned i = 0; i < c->console_port_count && !ret; i++)
		ret = check_port(c, i, d);
	return ret;
}
