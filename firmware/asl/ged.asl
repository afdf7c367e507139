/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generic event device (ACPI 6.5 sec. 5.6.9) and the power button behind it.
 * The generator makes the devices and pastes what is inside of them; into GED
 * it adds PWRI and _CRS.
 */
DefinitionBlock ("", "SSDT", 2, "SPNDRL", "SPANDREL", 1)
{
    Device (PWRB)
    {
        Name (_HID, EisaId ("PNP0C0C"))
    }

    Device (GED)
    {
        Name (_HID, "ACPI0013")
        Name (_UID, Zero)

        Method (_EVT, 1, Serialized)
        {
            If (Arg0 == PWRI)
            {
                Notify (PWRB, 0x80)
            }
        }
    }

    /* Stands for the one that the generator puts into GED */
    Name (PWRI, Zero)
}
