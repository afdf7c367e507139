#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Send frames to an interface and take each back as it was sent.

Usage: frames.py INTERFACE COUNT BYTES

For somebody behind the interface who returns what comes. The frames are UDP
packets of many flows, so that an interface with several queues uses all of
them; at most WINDOW are on their way. Ends with 0 if all came back unchanged.
"""
import select
import socket
import struct
import sys

ETH_P_ALL = 3
PACKET_OUTGOING = 4
WINDOW = 32
PATIENCE_S = 10
FLOWS = 64
HEAD_BYTES = 14 + 20 + 8
# Test addresses (RFC 5737) that nobody has here.
ADDRESSES = bytes((192, 0, 2, 1, 192, 0, 2, 2))


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def frame(number, size):
    payload = struct.pack("!I", number).ljust(size - HEAD_BYTES, b"%")
    ip = struct.pack("!BBHHHBBH8s", 0x45, 0, size - 14, number & 0xffff, 0,
                     64, socket.IPPROTO_UDP, 0, ADDRESSES)
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    udp = struct.pack("!HHHH", 5000 + number % FLOWS, 9, size - 34, 0)
    return (bytes.fromhex("525400000009") + bytes.fromhex("525400000001") +
            b"\x08\x00" + ip + udp + payload)


def exchange(link, count, size):
    """How many came back unchanged; in any order, as flows are apart."""
    sent, back, missing = 0, 0, set()
    while back < count:
        while sent < count and len(missing) < WINDOW:
            missing.add(sent)
            link.send(frame(sent, size))
            sent += 1
        if not select.select([link], [], [], PATIENCE_S)[0]:
            break
        data, address = link.recvfrom(65536)
        if address[2] == PACKET_OUTGOING or data[26:34] != ADDRESSES:
            continue
        number = struct.unpack("!I", data[HEAD_BYTES:HEAD_BYTES + 4])[0]
        if number not in missing or data != frame(number, size):
            print(f"frame {number}: not what was sent")
            break
        missing.discard(number)
        back += 1
    return back


def main():
    name, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                         socket.htons(ETH_P_ALL))
    link.bind((name, 0))
    back = exchange(link, count, size)
    print(f"{back} of {count} frames of {size} bytes came back")
    return 0 if back == count else 1


if __name__ == "__main__":
    sys.exit(main())
