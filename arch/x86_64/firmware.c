/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64: firmware, recognised by content
 *
 * CLOUDHV.fd (edk2's OvmfPkg/CloudHv, Debian's cloudhv-efi-x86-64) and
 * rust-hypervisor-firmware are ELF files with a PVH entry. They find memory
 * map and ACPI tables in hvm_start_info, and look at the machine for the rest:
 * PCI by ports 0xcf8 and 0xcfc, host bridge 8086:0d57 (CLOUDHV), PM timer at
 * port 0x608, CMOS, 16550 at 0x3f8, SMBIOS from 0xf0000. CLOUDHV moves BARs
 * into windows that are fixed in it: from 0xc0000000, and from the end of RAM
 * or 4 GiB; layout.h has its windows there.
 *
 * It keeps variables in RAM and on the first writable FAT file system, in a
 * file NvVars. It resets by port 0xcf9, and for Linux by the keyboard
 * controller's port 0x64.
 *
 * It does not look for fw_cfg; other firmware may, and finds a kernel there
 * (arch/fw-cfg.c). OVMF is different in all of this: see pc-firmware.h.
 *
 * Not implemented: variables in flash for CLOUDHV.fd, which has no such driver.
 */
#include "arch/x86_64/firmware.h"

#include <errno.h>

#include "arch/x86_64/bzimage.h"
#include "arch/x86_64/pc-firmware.h"
#include "arch/x86_64/pvh.h"

static int not_firmware(const struct x86_image *img, struct diag *d)
{
	const char *is = x86_image_known(img);

	return diag_fail(d, ENOEXEC,
			 "%s %s: is %s; x86_64 starts an ELF file with a PVH "
			 "entry, such as CLOUDHV.fd of Debian's "
			 "cloudhv-efi-x86-64, or OVMF_CODE_4M.fd of ovmf",
			 img->option, img->name, is ? is : "not firmware");
}

static int a_kernel(const struct x86_image *img, struct diag *d)
{
	return diag_fail(d, ENOEXEC,
			 "%s %s: is a Linux kernel: give it as --kernel",
			 img->option, img->name);
}

/* Firmware finds its disks by PCI only. */
static int check_platform(const struct x86_image *img, const struct platform *p,
			  struct diag *d)
{
	if (p->pci.segment_count)
		return 0;
	return diag_fail(d, EINVAL,
			 "%s %s: needs PCI: leave out --platform "
			 "transport=mmio",
			 img->option, img->name);
}

static int load_pc(struct x86_kernel *k, const struct x86_image *img,
		   const struct platform *p, const struct arch_payload *load,
		   struct diag *d)
{
	k->protocol = X86_RESET;
	return x86_pc_load(img, p, load, d);
}

int x86_firmware_load(struct x86_kernel *k, const struct guest_ram *ram,
		      const struct platform *p, const struct arch_payload *load,
		      struct diag *d)
{
	struct x86_image img;
	int err = x86_image_open(&img, load->firmware_fd, "--firmware",
				 load->firmware_name, d);

	if (err)
		return err;
	if (x86_bzimage_is(&img))
		return a_kernel(&img, d);
	err = x86_pvh_is(&img) ? x86_pvh_load(k, &img, ram, d)
	      : p->q35	       ? load_pc(k, &img, p, load, d)
			       : not_firmware(&img, d);
	if (!err)
		err = check_platform(&img, p, d);
	if (err)
		return err;
	return k->is_linux ? a_kernel(&img, d) : 0;
}
