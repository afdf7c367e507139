/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: resident memory of the process, see footprint.c */
#ifndef VMM_FOOTPRINT_H
#define VMM_FOOTPRINT_H

/*
 * Give back what only the start needed: free heap, and the mappings of code
 * and constants, which come back, from the page cache, as they are used.
 * Called once, a while after the guest was started; any thread. Cannot fail:
 * what cannot be given back stays.
 */
void footprint_trim(void);

#endif
