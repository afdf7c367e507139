/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the version that --version, `doctor` and the man page show */
#ifndef VMM_VERSION_H
#define VMM_VERSION_H

#define SPANDREL_VERSION "0.1.0"

#endif
