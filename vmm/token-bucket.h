/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: rate limits: two token buckets, bytes and operations
 *
 * A bucket holds at most size tokens, begins full and gets size tokens every
 * refill time, evenly. one_time_burst tokens lie beside it, are used first and
 * never come back. These are Cloud Hypervisor's and Firecracker's rules, with
 * two differences that keep the rate exact: a request that is larger than the
 * bucket goes ahead when the bucket is full and leaves a debt (theirs goes
 * ahead at once), and a wait is as long as the missing tokens take (theirs
 * look again every 100 ms).
 *
 * A user asks before each request and, when told to wait, arms a timer and
 * asks again:
 *
 *	wait_ns = rate_limiter_take(rl, bytes, 1);
 *	if (wait_ns)
 *		event_timer_set(&timer, wait_ns, 0);
 *
 * A user that learns the size only afterwards (a received packet) takes the
 * operation with 0 bytes and pays them with rate_limiter_charge(): the debt
 * makes the next one wait.
 *
 * Threads: any; one limiter may be shared by the queues of a device and by the
 * devices of a group. rate_limiter.lock is innermost. Where nothing is limited
 * asking takes one relaxed load.
 */
#ifndef VMM_TOKEN_BUCKET_H
#define VMM_TOKEN_BUCKET_H

#include <pthread.h>
#include <stdatomic.h>

#include "vmm/base/diag.h"
#include "vmm/base/types.h"
#include "vmm/config.h"

/** RATE_SIZE_MAX - most tokens of a bucket: debts of 4 GiB chains on top of it
 * still fit into the signed 64 bits of token_bucket.budget */
#define RATE_SIZE_MAX (UINT64_MAX >> 2)

/** RATE_REFILL_MS_MAX - longest refill time: 49 days */
#define RATE_REFILL_MS_MAX UINT32_MAX

/** RATE_WAIT_NS_MAX - longest answer of rate_limiter_take(), so that a limit
 * that is changed at run time counts within that time */
#define RATE_WAIT_NS_MAX 100000000ULL

/**
 * struct token_bucket - one limit; all 0: unlimited
 * @size, @refill_ns: @size tokens every @refill_ns
 * @burst: what is left of the one-time burst
 * @budget: tokens, at most @size; negative: debt
 * @last_ns: when @budget was last brought up to date
 */
struct token_bucket {
	uint64_t size, refill_ns, burst;
	int64_t budget;
	uint64_t last_ns;
};

/**
 * struct rate_limiter - see the DOC block
 * @limited: any of the buckets has a limit
 * @lock: guards the buckets
 */
struct rate_limiter {
	atomic_bool limited;
	pthread_mutex_t lock;
	struct token_bucket bandwidth, ops;
};

/**
 * rate_config_check - can these be limits?
 * @c: from the user; a bucket is all 0, or has a size and a refill time
 * @option: how the user named it, for the message: "--disk"
 *
 * Return: 0, or -EINVAL and @d names the key and what is missing.
 */
int rate_config_check(const struct rate_config *c, const char *option,
		      struct diag *d);

/** rate_limiter_init - full buckets; @c has passed rate_config_check() */
void rate_limiter_init(struct rate_limiter *rl, const struct rate_config *c);

/** rate_limiter_release - nobody uses it any more; accepts only a limiter that
 * was initialised */
void rate_limiter_release(struct rate_limiter *rl);

/**
 * rate_limiter_set - other limits from now on; any thread
 * @c: as for rate_limiter_init()
 *
 * A bucket keeps its tokens (as many as fit) and its debt; the one-time burst
 * is the new one's. Who waits asks again within RATE_WAIT_NS_MAX.
 */
void rate_limiter_set(struct rate_limiter *rl, const struct rate_config *c);

/**
 * rate_limiter_take - may a request of @bytes bytes and @ops operations go on?
 *
 * Return: 0: yes, its tokens are taken; else no token is taken: ask again in
 * that many nanoseconds, 1 to RATE_WAIT_NS_MAX.
 */
uint64_t rate_limiter_take(struct rate_limiter *rl, uint64_t bytes,
			   uint64_t ops);

/** rate_limiter_charge - take tokens for what has happened already; may leave
 * a debt */
void rate_limiter_charge(struct rate_limiter *rl, uint64_t bytes, uint64_t ops);

/** rate_limiter_take_at, rate_limiter_charge_at, rate_limiter_set_at - the same
 * at a time on CLOCK_MONOTONIC that the caller has read (or made up: tests); a
 * bucket's time begins with the first call and never runs backwards */
uint64_t rate_limiter_take_at(struct rate_limiter *rl, uint64_t now_ns,
			      uint64_t bytes, uint64_t ops);
void rate_limiter_charge_at(struct rate_limiter *rl, uint64_t now_ns,
			    uint64_t bytes, uint64_t ops);
void rate_limiter_set_at(struct rate_limiter *rl, uint64_t now_ns,
			 const struct rate_config *c);

#endif
