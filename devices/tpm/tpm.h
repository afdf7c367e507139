/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the TPM, for devices/registry.c; see tpm-crb.c */
#ifndef DEVICES_TPM_TPM_H
#define DEVICES_TPM_TPM_H

#include "devices/device.h"

/** tpm_crb_class - TPM 2.0 with a command response buffer, at
 * platform->tpm; its item is a struct tpm_config */
extern const struct device_class tpm_crb_class;

#endif
