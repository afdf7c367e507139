/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: several threads write one qcow2 image, each through its own queue
 */
#include <check.h>
#include <pthread.h>

#include "tests/unit/qcow2-rig.h"
#include "tests/unit/suite.h"

#define STREAMS	  4
#define IN_STREAM 8
#define STRIPES	  512

/**
 * struct stream - a thread that writes its stripes of 4 KiB: every STREAMSth,
 *	so that all streams meet in all clusters
 */
struct stream {
	struct block *b;
	unsigned number, next;
	struct event_loop *loop;
	struct block_queue *q;
	struct flight {
		struct block_request r;
		struct stream *s;
		struct iovec iov;
		uint8_t buf[4096];
	} flight[IN_STREAM];
};

static void next_write(struct flight *f)
{
	struct stream *s = f->s;
	unsigned i = s->next++;

	if (i >= STRIPES)
		return;
	memset(f->buf, (int)(1 + (i * STREAMS + s->number) % 251), 4096);
	f->iov = (struct iovec){ f->buf, 4096 };
	f->r.op = i % 64 == 63 ? BLOCK_FLUSH : BLOCK_WRITE;
	f->r.offset_bytes = 4096ull * (i * STREAMS + s->number);
	f->r.len_bytes = 4096;
	f->r.iov = &f->iov;
	f->r.iov_count = 1;
	if (f->r.op == BLOCK_FLUSH)
		f->r.offset_bytes = f->r.len_bytes = 0;
	block_submit(s->q, &f->r);
}

static void write_done(struct block_request *r, int err)
{
	CHECK(!err);
	next_write(container_of(r, struct flight, r));
}

static void *run_stream(void *opaque)
{
	static const struct block_client none = { 0 };
	struct stream *s = opaque;

	s->loop = event_loop_new(NULL);
	CHECK(!block_queue_new(&s->q, s->b, s->loop, 16, &none, NULL));
	for (unsigned i = 0; i < IN_STREAM; i++) {
		s->flight[i].s = s;
		s->flight[i].r.done = write_done;
		next_write(&s->flight[i]);
	}
	block_kick(s->q);
	block_queue_wait(s->q);
	block_queue_free(s->q);
	event_loop_free(s->loop);
	return NULL;
}

START_TEST(test_streams)
{
	struct stream *s = calloc(STREAMS, sizeof(*s));
	pthread_t thread[STREAMS];
	uint8_t buf[4096];
	struct block_options opt = { .path = "a", .sparse = true };
	struct rig rig;

	ck_assert_int_eq(shell("qemu-img create -f qcow2 -o cluster_size=%d a "
			       "16M",
			       _i ? 65536 : 16384),
			 0);
	ck_assert_int_eq(rig_open(&rig, &opt, NULL), 0);
	for (unsigned i = 0; i < STREAMS; i++) {
		s[i].b = rig.b;
		s[i].number = i;
		pthread_create(&thread[i], NULL, run_stream, &s[i]);
	}
	for (unsigned i = 0; i < STREAMS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned i = 0; i < STRIPES * STREAMS; i++) {
		int want = i / STREAMS % 64 == 63 ? 0 : (int)(1 + i % 251);

		ck_assert_int_eq(
			rig_do(&rig, BLOCK_READ, 4096ull * i, buf, 4096, false),
			0);
		ck_assert_int_eq(buf[0], want);
		ck_assert_int_eq(buf[4095], want);
	}
	rig_close(&rig);
	ck_assert_int_eq(shell("qemu-img check a"), 0);
	free(s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("qcow2-queues");
	TCase *tc = tcase_create("queues");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, enter_dir, leave_dir);
	tcase_add_loop_test(tc, test_streams, 0, 2);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
