/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: network addresses as users write them
 *
 * MAC addresses are six bytes in hexadecimal with : between. IP addresses are
 * what inet_pton(3) takes; a mask is written as an address.
 *
 * Threads: none.
 */
#ifndef VMM_NET_ADDR_H
#define VMM_NET_ADDR_H

#include <netinet/in.h>

#include "vmm/base/types.h"

#define MAC_BYTES      6
#define MAC_TEXT_BYTES 18

/** mac_parse - "52:54:00:12:34:56"; false, and @mac untouched, if it is not */
bool mac_parse(const char *text, uint8_t mac[MAC_BYTES]);

/** mac_print - the mirror; @text holds MAC_TEXT_BYTES; Return: @text */
const char *mac_print(const uint8_t mac[MAC_BYTES], char *text);

/** mac_is_multicast - an address of many: no interface's own */
bool mac_is_multicast(const uint8_t mac[MAC_BYTES]);

/** mac_is_zero - 00:00:00:00:00:00, no interface's own either */
bool mac_is_zero(const uint8_t mac[MAC_BYTES]);

/** mac_random - a locally administered address (IEEE 802-2014 sec. 8.4) */
void mac_random(uint8_t mac[MAC_BYTES]);

/**
 * struct ip_addr - an address of either version
 * @family: AF_INET or AF_INET6
 */
struct ip_addr {
	int family;
	union {
		struct in_addr v4;
		struct in6_addr v6;
	};
};

/** ip_parse - false, and @ip untouched, if @text is no address */
bool ip_parse(const char *text, struct ip_addr *ip);

/** ip_prefix - length of the prefix that a mask covers, or -1: it has holes */
int ip_prefix(const struct ip_addr *mask);

#endif
