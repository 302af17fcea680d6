// What the synthetic mouse says it is, and its report (USB Device Class Definition for HID 1.11, 6.2; struct synthhid_device_info in
// drivers/hid/hid-hyperv.c). The ids are those of Hyper-V's mouse: hid-hyperv binds to 045e:0621.
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Vsp.Input;

internal static class MouseDescription
{
    /// <summary>Buttons, x, y, wheel.</summary>
    public const int ReportBytes = 7;

    private const int AttributesBytes = 32;
    private const int HidDescriptorBytes = 9;
    private const ushort Vendor = 0x045E;
    private const ushort Product = 0x0621;

    private static readonly byte[] s_reportDescriptor =
    [
        // Generic desktop, mouse: application collection; pointer: physical collection.
        0x05, 0x01, 0x09, 0x02, 0xA1, 0x01, 0x09, 0x01, 0xA1, 0x00,
        // Buttons 1 to 5, a bit each, and three bits of padding.
        0x05, 0x09, 0x19, 0x01, 0x29, 0x05, 0x15, 0x00, 0x25, 0x01, 0x95, 0x05, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x03, 0x81, 0x01,
        // X and Y: 16 bits each, absolute, 0 to 32767.
        0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x15, 0x00, 0x26, 0xFF, 0x7F, 0x75, 0x10, 0x95, 0x02, 0x81, 0x02,
        // Wheel: 16 bits, relative, -32767 to 32767.
        0x09, 0x38, 0x16, 0x01, 0x80, 0x26, 0xFF, 0x7F, 0x75, 0x10, 0x95, 0x01, 0x81, 0x06,
        0xC0, 0xC0,
    ];

    private static readonly byte[] s_deviceInfo = BuildDeviceInfo();

    /// <summary>Attributes, HID descriptor, report descriptor.</summary>
    public static ReadOnlySpan<byte> DeviceInfo => s_deviceInfo;

    public static void WriteReport(Span<byte> report, PointerState state)
    {
        report[0] = (byte)state.Buttons;
        BinaryPrimitives.WriteUInt16LittleEndian(report[1..], Math.Min(state.X, PointerState.Extent));
        BinaryPrimitives.WriteUInt16LittleEndian(report[3..], Math.Min(state.Y, PointerState.Extent));
        BinaryPrimitives.WriteInt16LittleEndian(report[5..], state.Wheel);
    }

    private static byte[] BuildDeviceInfo()
    {
        byte[] info = new byte[AttributesBytes + HidDescriptorBytes + s_reportDescriptor.Length];
        BinaryPrimitives.WriteInt32LittleEndian(info, AttributesBytes);
        BinaryPrimitives.WriteUInt16LittleEndian(info.AsSpan(4), Vendor);
        BinaryPrimitives.WriteUInt16LittleEndian(info.AsSpan(6), Product);
        BinaryPrimitives.WriteUInt16LittleEndian(info.AsSpan(8), 1);
        Span<byte> hid = info.AsSpan(AttributesBytes);
        hid[0] = HidDescriptorBytes;
        hid[1] = 0x21;
        BinaryPrimitives.WriteUInt16LittleEndian(hid[2..], 0x0101);
        hid[5] = 1;
        hid[6] = 0x22;
        BinaryPrimitives.WriteUInt16LittleEndian(hid[7..], (ushort)s_reportDescriptor.Length);
        s_reportDescriptor.CopyTo(hid[HidDescriptorBytes..]);
        return info;
    }
}
