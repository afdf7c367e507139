/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the least a program can do to run a guest on KVM (x86_64)
 *
 * Makes the KVM calls that any VMM for one vCPU, split irqchip and 128 MiB
 * makes, loads a payload that powers off at its first instructions, runs it
 * and ends. `make bench` compares spandrel with it: what spandrel takes longer
 * is what its own work costs. Usage: minimal-kvm
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_BYTES (128UL << 20)
#define ENTRY	  0x200000

/* mov $0x34, %al; mov $0x600, %dx; out %al, (%dx); hlt: power off */
static const uint8_t payload[] = { 0xb0, 0x34, 0x66, 0xba,
				   0x00, 0x06, 0xee, 0xf4 };

static int call(int fd, unsigned long request, void *arg, const char *what)
{
	int got = ioctl(fd, request, arg);

	if (got < 0)
		err(1, "%s", what);
	return got;
}

static void enable(int vm, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg } };

	call(vm, KVM_ENABLE_CAP, &c, "KVM_ENABLE_CAP");
}

static uint8_t *add_ram(int vm)
{
	uint8_t *ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct kvm_userspace_memory_region slot = {
		.memory_size = RAM_BYTES,
		.userspace_addr = (uintptr_t)ram,
	};

	if (ram == MAP_FAILED)
		err(1, "mmap");
	call(vm, KVM_SET_USER_MEMORY_REGION, &slot, "memory slot");
	return ram;
}

/* Flat 32-bit protected mode, as PVH enters. */
static void set_state(int vcpu)
{
	struct kvm_segment flat = { .limit = 0xffffffff,
				    .present = 1,
				    .s = 1,
				    .db = 1,
				    .g = 1,
				    .selector = 8 };
	struct kvm_regs regs = { .rip = ENTRY, .rflags = 2 };
	struct kvm_sregs s;

	call(vcpu, KVM_GET_SREGS, &s, "KVM_GET_SREGS");
	flat.type = 11;
	s.cs = flat;
	flat.type = 3;
	flat.selector = 16;
	s.ds = s.es = s.ss = s.fs = s.gs = flat;
	s.cr0 = 1;
	call(vcpu, KVM_SET_SREGS, &s, "KVM_SET_SREGS");
	call(vcpu, KVM_SET_REGS, &regs, "KVM_SET_REGS");
}

static void set_cpuid(int kvm, int vcpu)
{
	struct kvm_cpuid2 *c =
		calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));

	if (!c)
		err(1, "calloc");
	c->nent = 256;
	call(kvm, KVM_GET_SUPPORTED_CPUID, c, "KVM_GET_SUPPORTED_CPUID");
	call(vcpu, KVM_SET_CPUID2, c, "KVM_SET_CPUID2");
	free(c);
}

int main(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm, vcpu;
	uint64_t identity = 0xfffbc000;
	struct kvm_run *run;
	uint8_t *ram;

	if (kvm < 0)
		err(1, "/dev/kvm");
	vm = call(kvm, KVM_CREATE_VM, NULL, "KVM_CREATE_VM");
	ram = add_ram(vm);
	call(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity, "identity map");
	if (ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000UL) < 0)
		err(1, "KVM_SET_TSS_ADDR");
	enable(vm, KVM_CAP_SPLIT_IRQCHIP, 24);
	enable(vm, KVM_CAP_X2APIC_API, 3);
	vcpu = call(vm, KVM_CREATE_VCPU, NULL, "KVM_CREATE_VCPU");
	run = mmap(NULL,
		   (size_t)call(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL, "size"),
		   PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		err(1, "mmap");
	set_cpuid(kvm, vcpu);
	set_state(vcpu);
	memcpy(ram + ENTRY, payload, sizeof(payload));
	call(vcpu, KVM_RUN, NULL, "KVM_RUN");
	if (run->exit_reason != KVM_EXIT_IO || run->io.port != 0x600)
		errx(1, "the guest ended with exit %u", run->exit_reason);
	return 0;
}
