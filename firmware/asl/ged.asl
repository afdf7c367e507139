/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generic event devices (ACPI 6.5 sec. 5.6.9) and what is behind them: the
 * power button, the generation ID (Microsoft, "Virtual Machine Generation ID")
 * and the VMClock (Linux' uapi/linux/vmclock-abi.h).
 * The generator makes the devices and pastes what is inside of them; into GED
 * it adds PWRI and _CRS, into VGED and CGED _CRS.
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

    /* Generation ID: the generator adds ADDR */
    Device (VGEN)
    {
        Name (_HID, "SPND0001")
        Name (_CID, "VM_Gen_Counter")
        Name (_DDN, "VM_Gen_Counter")
    }

    /* The event device whose only wire says that the ID changed */
    Device (VGED)
    {
        Name (_HID, "ACPI0013")
        Name (_UID, One)

        Method (_EVT, 1, Serialized)
        {
            Notify (VGEN, 0x80)
        }
    }

    /* VMClock: the generator adds _CRS */
    Device (VCLK)
    {
        Name (_HID, "AMZNC10C")
        Name (_CID, "VMCLOCK")
        Name (_DDN, "VMCLOCK")
    }

    Device (CGED)
    {
        Name (_HID, "ACPI0013")
        Name (_UID, 2)

        Method (_EVT, 1, Serialized)
        {
            Notify (VCLK, 0x80)
        }
    }

    /* Stands for the one that the generator puts into GED */
    Name (PWRI, Zero)
}
