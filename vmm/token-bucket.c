/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: rate limits by token buckets, see token-bucket.h */
#include "vmm/token-bucket.h"

#include <errno.h>
#include <time.h>

/* size x elapsed time: 62 and 64 bits. */
typedef unsigned __int128 wide;

#define NS_PER_MS 1000000ULL

/* ---- configuration ------------------------------------------------------- */

static int check_bucket(const struct bucket_config *b, const char *option,
			const char *prefix, struct diag *d)
{
	if (!b->size && (b->refill_time_ms || b->one_time_burst))
		return diag_fail(d, EINVAL,
				 "%s %s_size=0: a rate limit of 0 would stop "
				 "everything; give a size of at least 1, or no "
				 "%s_ keys for no limit",
				 option, prefix, prefix);
	if (b->size && !b->refill_time_ms)
		return diag_fail(d, EINVAL,
				 "%s %s_size=%llu: also needs "
				 "%s_refill_time=, in milliseconds",
				 option, prefix, (unsigned long long)b->size,
				 prefix);
	if (b->size > RATE_SIZE_MAX)
		return diag_fail(d, EINVAL, "%s %s_size=%llu: at most %llu",
				 option, prefix, (unsigned long long)b->size,
				 (unsigned long long)RATE_SIZE_MAX);
	if (b->refill_time_ms > RATE_REFILL_MS_MAX)
		return diag_fail(d, EINVAL,
				 "%s %s_refill_time=%llu: at most %llu "
				 "milliseconds",
				 option, prefix,
				 (unsigned long long)b->refill_time_ms,
				 (unsigned long long)RATE_REFILL_MS_MAX);
	return 0;
}

int rate_config_check(const struct rate_config *c, const char *option,
		      struct diag *d)
{
	int ret = check_bucket(&c->bandwidth, option, "bw", d);

	return ret ? ret : check_bucket(&c->ops, option, "ops", d);
}

/* ---- one bucket ---------------------------------------------------------- */

static void bucket_init(struct token_bucket *b, const struct bucket_config *c)
{
	*b = (struct token_bucket){
		.size = c->size,
		.refill_ns = c->refill_time_ms * NS_PER_MS,
		.burst = c->one_time_burst,
		.budget = (int64_t)c->size,
	};
}

/* Add what has come in since; the fraction of a token stays in last_ns. */
static void bucket_refill(struct token_bucket *b, uint64_t now_ns)
{
	uint64_t missing = b->size - (uint64_t)b->budget;
	uint64_t elapsed = now_ns - b->last_ns;
	wide tokens;

	if (!b->size || now_ns <= b->last_ns)
		return;
	tokens = (wide)elapsed * b->size / b->refill_ns;
	if (!b->last_ns || tokens >= missing) {
		b->budget += b->last_ns ? (int64_t)missing : 0;
		b->last_ns = now_ns;
		return;
	}
	b->budget += (int64_t)tokens;
	b->last_ns += (uint64_t)(tokens * b->refill_ns / b->size);
}

/* How long until @tokens (or a full bucket) are there; 0: now. */
static uint64_t bucket_wait(const struct token_bucket *b, uint64_t now_ns,
			    uint64_t tokens)
{
	uint64_t need = MIN(tokens, b->size), missing;
	wide wait;

	if (!b->size)
		return 0;
	if (b->budget >= 0) {
		if (b->burst >= need || need - b->burst <= (uint64_t)b->budget)
			return 0;
		need -= b->burst;
	}
	missing = need - (uint64_t)b->budget;
	wait = ((wide)missing * b->refill_ns + b->size - 1) / b->size;
	/* A fraction of the next token is there already. */
	wait -= MIN(wait - 1, (wide)(now_ns - MIN(now_ns, b->last_ns)));
	return wait > RATE_WAIT_NS_MAX ? RATE_WAIT_NS_MAX : (uint64_t)wait;
}

/* A debt is bounded by one bucket and what one charge adds to it. */
static void bucket_take(struct token_bucket *b, uint64_t tokens)
{
	uint64_t burst = MIN(b->burst, tokens);

	if (!b->size)
		return;
	b->burst -= burst;
	tokens = MIN(tokens - burst, RATE_SIZE_MAX);
	b->budget = MAX(b->budget, -(int64_t)RATE_SIZE_MAX) - (int64_t)tokens;
}

/* Other limits; tokens and debt stay, within the new size. */
static void bucket_set(struct token_bucket *b, uint64_t now_ns,
		       const struct bucket_config *c)
{
	struct token_bucket old = *b;

	bucket_refill(&old, now_ns);
	bucket_init(b, c);
	if (!old.size || !b->size)
		return;
	b->budget = MIN(b->budget, old.budget);
	b->last_ns = old.last_ns;
}

/* ---- both ---------------------------------------------------------------- */

/* Never 0, which means that no time has been seen yet. */
static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec + 1;
}

static bool limited(const struct rate_limiter *rl)
{
	return atomic_load_explicit(&rl->limited, memory_order_relaxed);
}

static void note_limited(struct rate_limiter *rl)
{
	atomic_store_explicit(&rl->limited, rl->bandwidth.size || rl->ops.size,
			      memory_order_relaxed);
}

void rate_limiter_init(struct rate_limiter *rl, const struct rate_config *c)
{
	pthread_mutex_init(&rl->lock, NULL);
	bucket_init(&rl->bandwidth, &c->bandwidth);
	bucket_init(&rl->ops, &c->ops);
	note_limited(rl);
}

void rate_limiter_release(struct rate_limiter *rl)
{
	pthread_mutex_destroy(&rl->lock);
}

void rate_limiter_set_at(struct rate_limiter *rl, uint64_t now_ns,
			 const struct rate_config *c)
{
	pthread_mutex_lock(&rl->lock);
	bucket_set(&rl->bandwidth, now_ns, &c->bandwidth);
	bucket_set(&rl->ops, now_ns, &c->ops);
	note_limited(rl);
	pthread_mutex_unlock(&rl->lock);
}

void rate_limiter_set(struct rate_limiter *rl, const struct rate_config *c)
{
	rate_limiter_set_at(rl, clock_ns(), c);
}

uint64_t rate_limiter_take_at(struct rate_limiter *rl, uint64_t now_ns,
			      uint64_t bytes, uint64_t ops)
{
	uint64_t bw_wait, ops_wait;

	pthread_mutex_lock(&rl->lock);
	bucket_refill(&rl->bandwidth, now_ns);
	bucket_refill(&rl->ops, now_ns);
	bw_wait = bucket_wait(&rl->bandwidth, now_ns, bytes);
	ops_wait = bucket_wait(&rl->ops, now_ns, ops);
	if (!bw_wait && !ops_wait) {
		bucket_take(&rl->bandwidth, bytes);
		bucket_take(&rl->ops, ops);
	}
	pthread_mutex_unlock(&rl->lock);
	return MAX(bw_wait, ops_wait);
}

uint64_t rate_limiter_take(struct rate_limiter *rl, uint64_t bytes,
			   uint64_t ops)
{
	return limited(rl) ? rate_limiter_take_at(rl, clock_ns(), bytes, ops)
			   : 0;
}

void rate_limiter_charge_at(struct rate_limiter *rl, uint64_t now_ns,
			    uint64_t bytes, uint64_t ops)
{
	pthread_mutex_lock(&rl->lock);
	bucket_refill(&rl->bandwidth, now_ns);
	bucket_refill(&rl->ops, now_ns);
	bucket_take(&rl->bandwidth, bytes);
	bucket_take(&rl->ops, ops);
	pthread_mutex_unlock(&rl->lock);
}

void rate_limiter_charge(struct rate_limiter *rl, uint64_t bytes, uint64_t ops)
{
	if (limited(rl))
		rate_limiter_charge_at(rl, clock_ns(), bytes, ops);
}
