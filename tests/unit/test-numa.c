/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: --numa: the sentences about what is refused, and what layouts make of
 * what is not
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/arch.h"
#include "vmm/config.h"
#include "vmm/schema.h"

#include "tests/unit/suite.h"

static struct vm_config config;
static struct diag d;

static void setup(void)
{
	d = DIAG_INIT;
	ck_assert_int_eq(vm_config_init(&config, "x86_64", &d), 0);
}

static void teardown(void)
{
	vm_config_release(&config);
}

static void give(const char *name, const char *value)
{
	const struct schema_option *o =
		schema_find(&vm_config_schema, name, strlen(name));

	ck_assert_msg(!schema_parse(o, value, &config, &d), "%s", d.text[0]);
}

/* The machine of all tests: @cpus, RAM of zones a, b and c, and @nodes, which
 * end with NULL */
static int make(const char *cpus, const char *const *nodes)
{
	give("cpus", cpus);
	give("memory", "size=0");
	give("memory-zone", "id=a,size=1G");
	give("memory-zone", "id=b,size=3G");
	give("memory-zone", "id=c,size=1G");
	for (; *nodes; nodes++)
		give("numa", *nodes);
	ck_assert_int_eq(vm_config_complete(&config, &d), 0);
	return vm_config_check(&config, "x86_64", &d);
}

/* ---- refused ------------------------------------------------------------ */

#define N0 "guest_numa_id=0,cpus=[0-1],memory_zones=[a,b]"
#define N1 "guest_numa_id=1,cpus=[2-3],memory_zones=[c]"

static const struct {
	const char *cpus, *nodes[4], *sentence;
} refused[] = {
	{ "4",
	  { N0, "guest_numa_id=0" },
	  "--numa guest_numa_id=0: given twice" },
	{ "4",
	  { N0, "guest_numa_id=2" },
	  "--numa guest_numa_id=2: the ids of 2 nodes must be 0 to 1" },
	{ "4",
	  { N0, N1, "guest_numa_id=2" },
	  "--numa guest_numa_id=2: is empty: give it cpus= or memory_zones=" },
	{ "4",
	  { "memory_zones=[a,b]", "guest_numa_id=1,cpus=[0-3]" },
	  "--numa guest_numa_id=1: has vCPUs and node 0 has none: Linux "
	  "numbers nodes without vCPUs last, so do the same" },
	{ "3",
	  { N0, N1 },
	  "--numa guest_numa_id=1,cpus=3: there are only 3 vCPUs, from 0 on" },
	{ "4",
	  { N0, "guest_numa_id=1,cpus=[1-3],memory_zones=c" },
	  "--numa guest_numa_id=1,cpus=1: this vCPU is in node 0 already" },
	{ "4",
	  { "cpus=[0,1,0]", "guest_numa_id=1,memory_zones=[a,b,c]" },
	  "--numa guest_numa_id=0,cpus=0: this vCPU is in node 0 already" },
	{ "boot=4,max=5",
	  { N0, N1 },
	  "--numa: vCPU 4 is in no node: add it to the cpus= of one" },
	{ "4,topology=1:4:1:1",
	  { N0, N1 },
	  "--numa guest_numa_id=1,cpus=2: vCPU 1 is on the same die (--cpus "
	  "topology), but in node 0: give each node whole dies, of 4 vCPUs" },
	{ "4",
	  { N0, "guest_numa_id=1,cpus=[2-3],memory_zones=[d]" },
	  "--numa guest_numa_id=1,memory_zones=d: there is no --memory-zone of "
	  "this id" },
	{ "4",
	  { N0, "guest_numa_id=1,cpus=[2-3],memory_zones=[c,b]" },
	  "--numa guest_numa_id=1,memory_zones=b: this zone is in node 0 "
	  "already" },
	{ "4",
	  { N0, "guest_numa_id=1,cpus=[2-3]" },
	  "--numa: zone c is in no node: add it to the memory_zones= of one" },
	{ "4",
	  { N0 ",distances=2@20", N1 },
	  "--numa guest_numa_id=0,distances=2@20: there is no such node" },
	{ "4",
	  { N0 ",distances=[1@20,1@21]", N1 },
	  "--numa guest_numa_id=0,distances=1@21: this node was given "
	  "already" },
	{ "4",
	  { N0 ",distances=0@11", N1 },
	  "--numa guest_numa_id=0,distances=0@11: to itself it is 10" },
	{ "4",
	  { N0 ",distances=1@10", N1 },
	  "--numa guest_numa_id=0,distances=1@10: to another node it is 11 to "
	  "254" },
	{ "2",
	  { N0, "guest_numa_id=1,memory_zones=c,latencies=0@100" },
	  "--numa guest_numa_id=1,latencies=: this node has no vCPUs: give it "
	  "to those that have" },
	{ "4",
	  { "cpus=[0-1],memory_zones=[a,b,c],bandwidths=1@1000",
	    "guest_numa_id=1,cpus=[2-3]" },
	  "--numa guest_numa_id=0,bandwidths=1@1000: node 1 has no memory" },
	{ "4",
	  { N0 ",bandwidths=[2@7]", N1 },
	  "--numa guest_numa_id=0,bandwidths=2@7: there is no such node" },
	{ "4",
	  { N0 ",pci_segments=[0]", N1 ",pci_segments=[1]" },
	  "--numa guest_numa_id=1,pci_segments=1: there is no such segment: "
	  "see "
	  "--platform num_pci_segments" },
	{ "4",
	  { N0 ",pci_segments=[0]", N1 ",pci_segments=[0]" },
	  "--numa guest_numa_id=1,pci_segments=0: this segment was given "
	  "already" },
};

START_TEST(test_refused)
{
	ck_assert_int_eq(make(refused[_i].cpus, refused[_i].nodes), -EINVAL);
	ck_assert_str_eq(d.text[0], refused[_i].sentence);
}
END_TEST

START_TEST(test_no_zones)
{
	give("numa", "cpus=0");
	ck_assert_int_eq(vm_config_complete(&config, &d), 0);
	ck_assert_int_eq(vm_config_check(&config, "x86_64", &d), -EINVAL);
	ck_assert_str_eq(d.text[0],
			 "--numa: needs --memory size=0 and a --memory-zone "
			 "for the memory of each node");
}
END_TEST

static const struct {
	const char *value, *sentence;
} syntax[] = {
	{ "distances=[1@9]",
	  "--numa distances=[1@9]: must be [N@VALUE,...], each value 10 to "
	  "254" },
	{ "distances=[1@255]",
	  "--numa distances=[1@255]: must be [N@VALUE,...], each value 10 to "
	  "254" },
	{ "guest_numa_id=64",
	  "--numa guest_numa_id=64: must be a number, 0 to 63" },
	{ "cpus=[4096]",
	  "--numa cpus=[4096]: must be [LIST] of numbers, each 0 to 4095" },
	{ "device_id=vfio0", "--numa device_id: not supported yet" },
	{ "latencies=[0@65535]",
	  "--numa latencies=[0@65535]: must be [N@VALUE,...], each value 1 to "
	  "65534" },
};

START_TEST(test_syntax)
{
	const struct schema_option *o =
		schema_find(&vm_config_schema, "numa", 4);

	ck_assert_int_eq(schema_parse(o, syntax[_i].value, &config, &d),
			 -EINVAL);
	ck_assert_str_eq(d.text[0], syntax[_i].sentence);
}
END_TEST

/* ---- laid out ----------------------------------------------------------- */

static const struct host_caps caps = {
	.pa_bits = 46,
	.gicv3 = true,
	.its = true,
	.ext_dest_id = true,
	.page_size_bytes = 4096,
};

static const char *const isas[] = { "x86_64", "arm64" };

/* Node 1 has every second vCPU and what is behind zone a; node 2 has no vCPU */
static const char *const nodes[] = {
	"guest_numa_id=0,cpus=[0,2],memory_zones=[a],distances=[1@15,2@30]",
	"guest_numa_id=2,memory_zones=[c],distances=[0@31]",
	"guest_numa_id=1,cpus=[1,3],memory_zones=[b],pci_segments=[0],"
	"latencies=[1@90,2@250],bandwidths=[0@1000]",
	NULL
};

START_TEST(test_layout)
{
	static const uint32_t far[3][3] = { { 10, 15, 30 },
					    { 15, 10, 20 },
					    { 31, 20, 10 } };
	struct platform p = { .arch = NULL };

	ck_assert_msg(!make("4", nodes), "%s", d.text[0]);
	config.cpus.nested = false;
	ck_assert_msg(!arch_find(isas[_i])->layout(&p, &config, &caps, &d),
		      "%s", d.text[0]);
	ck_assert_ptr_nonnull(p.numa);
	ck_assert_uint_eq(p.numa->node_count, 3);
	ck_assert_uint_eq(p.pci.segment[0].node, 1);
	ck_assert(p.numa->hmat);
	for (uint32_t i = 0; i < 4; i++)
		ck_assert_uint_eq(p.cpu[i].node, i % 2);
	for (unsigned i = 0; i < p.part_count; i++)
		ck_assert_uint_eq(p.part[i].node, p.part[i].zone);
	for (uint32_t i = 0; i < 9; i++)
		ck_assert_uint_eq(p.numa->link[i / 3][i % 3].distance,
				  far[i / 3][i % 3]);
	ck_assert_uint_eq(p.numa->link[1][1].latency_ns, 90);
	ck_assert_uint_eq(p.numa->link[1][2].latency_ns, 250);
	ck_assert_uint_eq(p.numa->link[1][0].bandwidth_mb, 1000);
	ck_assert_uint_eq(p.numa->link[1][0].latency_ns, 0);
	ck_assert_uint_eq(p.numa->link[0][0].latency_ns, 0);
	platform_release(&p);
}
END_TEST

/* Each segment is in a node, 0 unless said. */
START_TEST(test_segments)
{
	static const char *const two[] = { N0 ",pci_segments=[3]",
					   N1 ",pci_segments=[0,2]", NULL };
	static const uint32_t node[] = { 1, 0, 1, 0 };
	struct platform p = { .arch = NULL };

	give("platform", "num_pci_segments=4");
	ck_assert_msg(!make("4", two), "%s", d.text[0]);
	config.cpus.nested = false;
	ck_assert_msg(!arch_find(isas[_i])->layout(&p, &config, &caps, &d),
		      "%s", d.text[0]);
	ck_assert_uint_eq(p.pci.segment_count, 4);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(p.pci.segment[i].node, node[i]);
	platform_release(&p);
}
END_TEST

/* Whole dies may be in different nodes of a package; without --numa there are
 * no nodes. */
START_TEST(test_dies)
{
	static const char *const two[] = { N0, N1, NULL };
	static const char *const none[] = { NULL };
	struct platform p = { .arch = NULL };

	ck_assert_msg(!make("4,topology=2:1:2:1", two), "%s", d.text[0]);
	teardown();
	setup();
	ck_assert_int_eq(make("4", none), 0);
	ck_assert_int_eq(arch_find("x86_64")->layout(&p, &config, &caps, &d),
			 0);
	ck_assert_ptr_null(p.numa);
	platform_release(&p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("numa");
	TCase *t = tcase_create("numa");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_refused, 0, ARRAY_SIZE(refused));
	tcase_add_test(t, test_no_zones);
	tcase_add_loop_test(t, test_syntax, 0, ARRAY_SIZE(syntax));
	tcase_add_loop_test(t, test_layout, 0, ARRAY_SIZE(isas));
	tcase_add_loop_test(t, test_segments, 0, ARRAY_SIZE(isas));
	tcase_add_test(t, test_dies);
	suite_add_tcase(s, t);
	return suite_run(s);
}
