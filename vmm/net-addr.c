/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: network addresses as text, see net-addr.h */
#include "vmm/net-addr.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* The two low bits of the first byte (IEEE 802-2014 sec. 8.2.2). */
#define MAC_GROUP 0x01
#define MAC_LOCAL 0x02

bool mac_parse(const char *text, uint8_t mac[MAC_BYTES])
{
	uint8_t got[MAC_BYTES];

	if (strlen(text) != MAC_TEXT_BYTES - 1)
		return false;
	for (unsigned i = 0; i < MAC_BYTES; i++) {
		const char *at = text + 3 * (size_t)i;

		if (!isxdigit((unsigned char)at[0]) ||
		    !isxdigit((unsigned char)at[1]) ||
		    at[2] != (i + 1 < MAC_BYTES ? ':' : '\0'))
			return false;
		got[i] = (uint8_t)strtoul(at, NULL, 16);
	}
	memcpy(mac, got, MAC_BYTES);
	return true;
}

const char *mac_print(const uint8_t mac[MAC_BYTES], char *text)
{
	snprintf(text, MAC_TEXT_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0],
		 mac[1], mac[2], mac[3], mac[4], mac[5]);
	return text;
}

bool mac_is_multicast(const uint8_t mac[MAC_BYTES])
{
	return mac[0] & MAC_GROUP;
}

bool mac_is_zero(const uint8_t mac[MAC_BYTES])
{
	static const uint8_t zero[MAC_BYTES];

	return !memcmp(mac, zero, MAC_BYTES);
}

/* getrandom(2) gives up to 256 bytes whole and waits until it has them; where
 * it is refused (a sandbox) the address is a fixed one. */
void mac_random(uint8_t mac[MAC_BYTES])
{
	uint8_t got[MAC_BYTES] = { 0 };

	if (getrandom(got, sizeof(got), 0) != (ssize_t)sizeof(got))
		got[5] = 1;
	got[0] = (uint8_t)((got[0] & ~MAC_GROUP) | MAC_LOCAL);
	memcpy(mac, got, MAC_BYTES);
}

bool ip_parse(const char *text, struct ip_addr *ip)
{
	struct ip_addr got = { .family = AF_INET };

	if (inet_pton(AF_INET, text, &got.v4) != 1) {
		got.family = AF_INET6;
		if (inet_pton(AF_INET6, text, &got.v6) != 1)
			return false;
	}
	*ip = got;
	return true;
}

int ip_prefix(const struct ip_addr *mask)
{
	const uint8_t *bytes = (const uint8_t *)&mask->v6;
	int bits = mask->family == AF_INET ? 32 : 128, n = 0;

	while (n < bits && bytes[n / 8] >> (7 - n % 8) & 1)
		n++;
	for (int i = n; i < bits; i++)
		if (bytes[i / 8] >> (7 - i % 8) & 1)
			return -1;
	return n;
}
