/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: PCI: the chipset of QEMU's "q35", as far as firmware looks at it
 *
 * edk2's OVMF recognises its machine by the host bridge, 8086:29c0 (Intel 3
 * Series datasheet, 316966), and finds the PM timer through the LPC bridge,
 * 8086:2918 (ICH9 datasheet, 316972, sec. 13.1). Of both there is what it
 * touches (OvmfPkg/Include/IndustryStandard/Q35MchIch9.h):
 *
 *	00:00.0  0x50  not there: QEMU's word for how large TSEG may be, which
 *		       only builds with system management mode ask for
 *	         0x60  PCIEXBAR: where ECAM is; off after reset
 *	         0x90  PAM: where reads of the BIOS area go; memory, as all of
 *		       that area is RAM
 *	00:1f.0  0x40  PMBASE: 0x600, fixed; Linux claims 128 ports there
 *	         0x44  ACPI_CNTL: enabled, fixed
 *	         0x60  PIRQ routes: memory; nothing of ours uses them
 *	         0xf0  RCBA: memory; nothing is there
 *
 * Not implemented: system management mode. Whoever asks for it is told so.
 */
#include <inttypes.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

#include "devices/pci/pci.h"

#define EXT_TSEG_MB   0x50
#define PCIEXBAR      0x60
#define PCIEXBAR_ON   1
#define PCIEXBAR_BASE 0xffc000000 /* 64 MiB is the least that it covers */

static const struct pci_ident mch = {
	.vendor = 0x8086,
	.device = 0x29c0,
	.class_code = 0x060000, /* host bridge */
};

static const struct pci_ident ich9_lpc = {
	.vendor = 0x8086,
	.device = 0x2918,
	.class_code = 0x060100, /* ISA bridge */
	.slot = 31,
};

static const struct pci_reg mch_regs[] = {
	{ .offset = EXT_TSEG_MB, .size_bytes = 2, .rw = 0xffff },
	{ .offset = PCIEXBAR, .size_bytes = 4, .rw = 0xfc000007 },
	{ .offset = PCIEXBAR + 4, .size_bytes = 4, .rw = 0xf },
	{ .offset = 0x90, .size_bytes = 4, .rw = 0x33333333 },
	{ .offset = 0x94, .size_bytes = 4, .rw = 0x00333333 },
};

static const struct pci_reg lpc_regs[] = {
	{ .offset = 0x40, .size_bytes = 4, .value = 0x601 },
	{ .offset = 0x44, .size_bytes = 1, .value = 0x80 },
	{ .offset = 0x60, .size_bytes = 4, .value = 0x80808080, .rw = ~0u },
	{ .offset = 0x68, .size_bytes = 4, .value = 0x80808080, .rw = ~0u },
	{ .offset = 0xf0, .size_bytes = 4, .rw = 0xffffc001 },
};

/* At 0, as after reset, it is nowhere yet. */
void pci_q35_update(struct pci_root *root)
{
	struct bus *mmio = root->dev.env->mmio;
	uint64_t bar = get_le64(root->bridge.config + PCIEXBAR);
	uint64_t base = bar & PCIEXBAR_BASE;

	if (!(bar & PCIEXBAR_ON) || !base)
		bus_remove(mmio, &root->pciexbar);
	else if (bus_move(mmio, &root->pciexbar, base))
		log_guest(&root->misuse,
			  "PCI host bridge: something else is where the guest "
			  "puts ECAM, 0x%" PRIx64,
			  base);
}

/* OVMF that is built with it does not start without, and says nothing itself.
 */
static void say_no_smm(struct pci_root *root)
{
	log_guest(&root->no_smm,
		  "--firmware %s: needs system management mode, which there is "
		  "not: give OVMF_CODE_4M.fd, or another build without it",
		  root->dev.env->config->firmware);
}

static void mch_written(struct pci_func *f)
{
	if (get_le16(f->config + EXT_TSEG_MB)) {
		put_le16(f->config + EXT_TSEG_MB, 0);
		say_no_smm(f->root);
	} else {
		pci_q35_update(f->root);
	}
}

static const struct pci_func_ops mch_ops = { .window_written = mch_written };
static const struct pci_func_ops lpc_ops = { 0 };

static void add_regs(struct pci_func *f, const struct pci_reg *reg, size_t n)
{
	for (size_t i = 0; i < n; i++)
		pci_func_add_reg(f, &reg[i]);
}

int pci_q35_init(struct pci_root *root, struct diag *d)
{
	int err = pci_func_init(&root->bridge, root, "PCI host bridge", &mch,
				&mch_ops, d);

	if (!err)
		err = pci_func_init(&root->lpc, root, "LPC bridge", &ich9_lpc,
				    &lpc_ops, d);
	if (err)
		return err;
	add_regs(&root->bridge, mch_regs, ARRAY_SIZE(mch_regs));
	pci_func_window(&root->bridge, EXT_TSEG_MB, PCIEXBAR + 7);
	add_regs(&root->lpc, lpc_regs, ARRAY_SIZE(lpc_regs));
	return 0;
}
