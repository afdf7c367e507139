/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI Express host bridge. The generator makes the device of each segment,
 * pastes what is inside of this one and adds _SEG, _UID, _CRS and _PRT.
 */
DefinitionBlock ("", "SSDT", 2, "SPNDRL", "SPANDREL", 1)
{
    Device (PCI0)
    {
        Name (_HID, EisaId ("PNP0A08"))
        Name (_CID, EisaId ("PNP0A03"))
        Name (_BBN, Zero)
        Name (_CCA, One)

        /*
         * PCI Firmware 3.3 sec. 4.5: no firmware runs hot plug, PME, AER, LTR
         * or DPC, so the operating system gets whatever it asks for.
         */
        Method (_OSC, 4, Serialized)
        {
            CreateDWordField (Arg3, Zero, CDW1)
            If (Arg0 == ToUUID ("33db4d5b-1ff7-401c-9657-7441c03dd766"))
            {
                CreateDWordField (Arg3, 0x08, CDW3)
                Local0 = CDW3 & 0xBF
                If (Arg1 != One)
                {
                    CDW1 |= 0x08 /* revision not known */
                }
                If (CDW3 != Local0)
                {
                    CDW1 |= 0x10 /* some are masked */
                }
                CDW3 = Local0
            }
            Else
            {
                CDW1 |= 0x04 /* UUID not known */
            }
            Return (Arg3)
        }

        /*
         * PCI Firmware 3.3 sec. 4.6.5: function 5 returns 0: keep the
         * addresses that are assigned at boot.
         */
        Method (_DSM, 4, Serialized)
        {
            If (Arg0 == ToUUID ("e5c937d0-3553-4d7a-9117-ea4d19c3434d"))
            {
                If (Arg2 == Zero)
                {
                    Return (Buffer () { 0x21 })
                }
                If (Arg2 == 0x05)
                {
                    Return (Zero)
                }
            }
            Return (Buffer () { 0x00 })
        }
    }
}
