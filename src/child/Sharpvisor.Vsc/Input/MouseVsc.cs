// A guest's mouse driver in C#, after drivers/hid/hid-hyperv.c.
using System.Buffers.Binary;

namespace Sharpvisor.Vsc.Input;

/// <summary>An open mouse channel. One thread at a time.</summary>
public sealed class MouseVsc(GuestChannel channel) : PipeVsc(channel, sizeIncludesHeader: false)
{
    /// <summary>SYNTH_HID_PROTOCOL_REQUEST; true when the host takes the version.</summary>
    public bool RequestVersion(uint version = 0x0002_0000)
    {
        byte[] body = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(body, version);
        Send(0, body);
        byte[] answer = Receive(1);
        return BinaryPrimitives.ReadUInt32LittleEndian(answer) == version && answer[4] == 1;
    }

    /// <summary>SYNTH_HID_INITIAL_DEVICE_INFO: vendor, product and report descriptor, checked as mousevsc_on_receive_device_info does.</summary>
    public (ushort Vendor, ushort Product, byte[] ReportDescriptor) ReceiveDeviceInfo()
    {
        byte[] info = Receive(2);
        ReadOnlySpan<byte> hid = info.AsSpan(32);
        int descriptor = hid[0];
        int report = BinaryPrimitives.ReadUInt16LittleEndian(hid[7..]);
        return descriptor >= 9 && report > 0 && report <= hid.Length - descriptor
            ? (BinaryPrimitives.ReadUInt16LittleEndian(info.AsSpan(4)), BinaryPrimitives.ReadUInt16LittleEndian(info.AsSpan(6)), hid.Slice(descriptor, report).ToArray())
            : throw new InvalidDataException("a HID descriptor that does not fit");
    }

    /// <summary>SYNTH_HID_INITIAL_DEVICE_INFO_ACK.</summary>
    public void Acknowledge() => Send(3, [0]);

    /// <summary>Waits for SYNTH_HID_INPUT_REPORT.</summary>
    public (int Buttons, int X, int Y, int Wheel) ReceiveReport()
    {
        byte[] report = Receive(4);
        return (report[0], BinaryPrimitives.ReadUInt16LittleEndian(report.AsSpan(1)), BinaryPrimitives.ReadUInt16LittleEndian(report.AsSpan(3)),
            BinaryPrimitives.ReadInt16LittleEndian(report.AsSpan(5)));
    }
}
